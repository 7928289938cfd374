"""What to do next: which label to ask for, which looks wrong, which method to take, what more labels would buy."""
