"""The design behind the methods: each kind of presence side with each kind of absence side."""
