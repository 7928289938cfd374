"""What to do next: which label to ask for, which may be wrong, what more labels would buy."""
