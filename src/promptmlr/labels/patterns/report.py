"""Mentions in reports: what is there is mentioned, and absence in some classes often, in some never.

`chexpert.toml` holds the labels that were read from the radiology reports of CheXpert. They do not say how much of what
is present goes unmentioned. `MENTIONED` is assumed; the rest follows.
"""

import tomllib
from importlib.resources import files

import numpy as np

from promptmlr.labels.patterns.base import Pattern, Rates, Truth

__all__ = ["COUNTED", "MENTIONED", "PATTERN", "absent_mentions"]

MENTIONED = 0.9  # of what is present

COUNTED = tomllib.loads(files(__package__).joinpath("chexpert.toml").read_text(encoding="utf-8"))


def absent_mentions() -> Rates:
    """(14,) of CheXpert's classes: the rate at which absence is mentioned, where that of presence is 1."""
    counts = COUNTED["classes"].values()
    present, absent = (np.array([one[kind] for one in counts], dtype=float) for kind in ("present", "absent"))
    mentioned = absent / (COUNTED["images"] - present / MENTIONED)
    rates: Rates = np.log1p(-mentioned) / np.log1p(-MENTIONED)
    return rates


def _rates(truth: Truth, rng: np.random.Generator) -> Rates:
    """Each class gets the habit of one of CheXpert's, at random, each as often as another."""
    habits = absent_mentions()
    taken = rng.permutation(len(habits))[np.arange(truth.labels.shape[1]) % len(habits)]
    return np.where(truth.present, 1.0, habits[taken])


_ALL = COUNTED["images"] * len(COUNTED["classes"])
_KNOWN = sum(one["present"] + one["absent"] for one in COUNTED["classes"].values())

PATTERN = Pattern(
    "report",
    "what is present is mentioned, absence by habits that differ between classes: in some often, in some never",
    "Irvin et al., CheXpert, AAAI 2019; fitted to the counts of its training labels",
    _rates,
    share=_KNOWN / _ALL,
)
