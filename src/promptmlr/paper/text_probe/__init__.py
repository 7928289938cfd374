"""What a text tower says of absence: cosines of negated prompts, and how well they find images."""
