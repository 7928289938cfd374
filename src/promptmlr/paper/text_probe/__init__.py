"""What a text tower says of absence: cosines of negated prompts, and what their scores are worth."""
