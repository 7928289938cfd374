"""Whole experiments: what is trained and compared, and the report of it."""
