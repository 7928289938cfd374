"""Verified candidates: people are asked about classes that go with what else is in the image."""

import numpy as np

from promptmlr.labels.patterns.base import Pattern, Rates, Truth

__all__ = ["PATTERN"]


def _rates(truth: Truth, rng: np.random.Generator) -> Rates:  # noqa: ARG001
    """How probable the class is beside the other classes of the image: the mean over these and the prevalence."""
    present = truth.present.astype(float)
    both = present.T @ truth.known  # of images with the row's class where the column's is known
    beside = np.where(both > 0, present.T @ present / np.maximum(both, 1), truth.prevalence)
    np.fill_diagonal(beside, 0.0)  # a class is no reason to ask about itself
    others = present.sum(axis=1, keepdims=True) - present
    rates: Rates = (truth.prevalence + present @ beside) / (1 + others)
    return rates


PATTERN = Pattern(
    "candidates",
    "a label, present or absent, the sooner, the more often its class goes with the other classes of the image",
    "verified candidates of Open Images: Kuznetsova et al., IJCV 2020; the candidates here are by co-occurrence",
    _rates,
)
