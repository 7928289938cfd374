"""Verbs that reproduce the paper and test its hypothesis: for `promptmlr.paper`."""
