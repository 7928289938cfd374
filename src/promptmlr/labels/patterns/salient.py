"""Salience: people name the large objects of an image before the small ones."""

import numpy as np

from promptmlr.labels.patterns.base import Pattern, Rates, Truth

__all__ = ["PATTERN"]


def _rates(truth: Truth, rng: np.random.Generator) -> Rates:  # noqa: ARG001
    """Present labels by their share of all that the objects of the image cover; absent ones alike, and as often."""
    assert truth.sizes is not None
    covered = np.where(truth.present, truth.sizes, 0.0)
    salience = covered / np.maximum(covered.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    absent = salience[truth.present].mean() if truth.present.any() else 1.0
    return np.where(truth.present, salience, absent)


PATTERN = Pattern(
    "salient",
    "a present class the sooner, the more its object covers of what the objects of the image cover; absent ones alike",
    "the order in which people name objects: Spain and Perona, ECCV 2008; no parameters",
    _rates,
    needs_sizes=True,
)
