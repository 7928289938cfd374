"""Where presence and absence light up: the paper's Figure 1, and in numbers how much of it the two have in common."""
