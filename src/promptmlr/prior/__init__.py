"""Zero-shot as a prior: CLIP's zero-shot scores as probabilities, and how strongly labels may change them."""
