"""A factorial design: each kind of presence side with each kind of absence side."""
