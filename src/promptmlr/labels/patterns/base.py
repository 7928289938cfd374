"""How labels go missing where people label: a pattern gives each cell a rate at which somebody labels it.

A cell is known once somebody came by: after an effort e, with probability 1 − exp(−e · rate), its propensity. The
effort is what keeps the asked share of the known labels. Letters: N images, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptmlr.errors import UserError
from promptmlr.labels.codes import ABSENT, PRESENT, UNKNOWN, Keep, Labels

__all__ = ["Pattern", "Rates", "Sizes", "Truth", "propensities", "spread_around_one"]

Rates = NDArray[np.float64]
Sizes = NDArray[np.float64]

ENOUGH = 1e-10  # of a share: the effort is found as exactly as that
STEPS = 500


@dataclass(frozen=True, eq=False)
class Truth:
    """The labels before any are hidden.

    Attributes:
        labels: (N, C) int8.
        sizes: (N, C) share of the image that the largest object of a class covers, 0 where there is none; None where
            the data do not say.
    """

    labels: Labels
    sizes: Sizes | None = None

    @property
    def present(self) -> Keep:
        """(N, C) bool."""
        present: Keep = self.labels == PRESENT
        return present

    @property
    def absent(self) -> Keep:
        """(N, C) bool."""
        absent: Keep = self.labels == ABSENT
        return absent

    @property
    def known(self) -> Keep:
        """(N, C) bool."""
        known: Keep = self.labels != UNKNOWN
        return known

    @property
    def prevalence(self) -> Rates:
        """(C,) share of the known labels of each class that is present; 0 where none is known."""
        found: Rates = self.present.sum(axis=0) / np.maximum(self.known.sum(axis=0), 1)
        return found


@dataclass(frozen=True)
class Pattern:
    """One way in which labels go missing.

    Attributes:
        name: as options name it.
        summary: who labels what, in a sentence without its end.
        source: where it was described, and where its parameters come from.
        rates: the truth, and random numbers for what differs between classes, images and people → (N, C) ≥ 0, of which
            only the ratios count. They do not depend on the amount, so that larger amounts keep all of smaller ones.
        share: of the known labels that is kept in the data it was fitted to; None where nothing was published.
        needs_sizes: whether it looks at `Truth.sizes`.
    """

    name: str
    summary: str
    source: str
    rates: Callable[[Truth, np.random.Generator], Rates]
    share: float | None = None
    needs_sizes: bool = False


def propensities(rates: Rates, known: Keep, share: float) -> Rates:
    """The probability of every cell to be kept: `share` in the mean over the known ones, 0 at unknown ones.

    Args:
        rates: (N, C) ≥ 0.
        known: (N, C) bool.
        share: in (0, 1).

    Raises:
        UserError: cells with a rate of 0, which nobody ever labels, leave less than that.
    """
    rates = np.where(known, rates, 0.0)
    among = rates[known]
    reach = float((among > 0).mean()) if among.size else 0.0
    if share >= reach:
        raise UserError(
            f"nobody labels the other {1 - reach:.1%} of the known labels, so {share:.1%} of them cannot be kept; ask "
            "for less"
        )
    effort = share / float(among.mean())
    for _ in range(STEPS):  # Newton's method on a concave curve, from below
        left = np.exp(-effort * among)
        short = share - float(1 - left.mean())
        if short <= ENOUGH * share:
            break
        effort += short / float((among * left).mean())
    kept: Rates = -np.expm1(-effort * rates)
    return kept


def spread_around_one(rng: np.random.Generator, deviation: float, count: int) -> Rates:
    """(count,) factors from a gamma distribution with mean 1 and this standard deviation; ones where that is 0."""
    return rng.gamma(deviation**-2, deviation**2, count) if deviation else np.ones(count)
