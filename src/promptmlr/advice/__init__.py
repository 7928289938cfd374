"""Advice for labelling: which label to ask for, which may be wrong, what more labels would gain."""
