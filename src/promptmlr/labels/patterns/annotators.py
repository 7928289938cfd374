"""Annotators: each image has one of ten, who differ in diligence, in the classes they know and in noting absence."""

import numpy as np

from promptmlr.labels.patterns.base import Pattern, Rates, Truth

__all__ = ["PATTERN"]

PEOPLE = 10
DILIGENCE = 1.0  # standard deviations of the logarithms of rates
FAMILIARITY = 1.0
FEWEST_ABSENT = 0.05  # who notes absence least does so at this rate, who does so most as often as presence


def _rates(truth: Truth, rng: np.random.Generator) -> Rates:
    """Diligence of the image's annotator × what they know of the class, × their habit where the class is absent."""
    images, classes = truth.labels.shape
    person = rng.integers(PEOPLE, size=images)
    labelled = np.exp(
        DILIGENCE * rng.standard_normal((PEOPLE, 1)) + FAMILIARITY * rng.standard_normal((PEOPLE, classes))
    )
    absence = FEWEST_ABSENT ** rng.random((PEOPLE, 1))
    rates: Rates = np.where(truth.present, labelled[person], (labelled * absence)[person])
    return rates


PATTERN = Pattern(
    "annotators",
    "one of ten people labels an image: they differ in diligence, in the classes that they know and in noting absence",
    "people differ as in Dawid and Skene, 1979; the parameters are assumed",
    _rates,
)
