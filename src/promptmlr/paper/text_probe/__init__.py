"""How a text tower encodes absence: cosines of negated prompts, and how well they find images."""
