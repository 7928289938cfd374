"""Statements of absence in captions: the rule that finds them, its precision and recall, and counts over files."""
