"""The whole job on the drawn world: every method trained, compared and reported."""
