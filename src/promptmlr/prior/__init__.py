"""Zero-shot as a prior: what the untouched CLIP says as a probability, and how strongly labels may move it."""
