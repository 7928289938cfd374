"""Do probabilities say how often? Of the labels given about 70 %, are about 70 % present?

Letters: N images, C classes, T bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from promptmlr.evaluation import evaluate, log_loss
from promptmlr.labels import PRESENT, UNKNOWN, Labels

__all__ = ["COMPARED", "Bin", "Compared", "Reliability", "compared", "reliability", "reliability_figure"]

BINS = 10
Z = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class Bin:
    """Labels of like probability.

    Attributes:
        labels: how many.
        probability: their mean.
        present: the share that is present.
        low: lower end of the 95 % interval of that share (Wilson), as if labels were independent.
        high: upper end.
    """

    labels: int
    probability: float
    present: float
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """How far probabilities can be taken at their word.

    Attributes:
        bins: at most T of them, from the least probability to the greatest.
        calibration_error: expected calibration error: mean over labels of |probability − share present| of their bin.
        brier: mean squared difference of probability and label.
    """

    bins: Sequence[Bin]
    calibration_error: float
    brier: float


def reliability(probabilities: NDArray[np.floating], labels: Labels, bins: int = BINS) -> Reliability:
    """The known labels in bins of equal width.

    Args:
        probabilities: (N, C) P(present).
        labels: (N, C) int8; unknown ones are left out.
        bins: T.
    """
    known = labels != UNKNOWN
    said, there = probabilities[known].astype(np.float64), labels[known] == PRESENT
    place = np.minimum((said * bins).astype(np.int64), bins - 1)
    found = [_bin(said[place == number], there[place == number]) for number in np.unique(place)]
    gaps = [one.labels * abs(one.probability - one.present) for one in found]
    return Reliability(found, float(sum(gaps) / len(said)), float(((said - there) ** 2).mean()))


@dataclass(frozen=True)
class Compared:
    """One set of probabilities beside others.

    Attributes:
        name: what they are of.
        mean_ap: in 0..1.
        log_loss: mean of -log of the probability of each known label, in nats.
        calibration_error: as `Reliability` has it.
    """

    name: str
    mean_ap: float
    log_loss: float
    calibration_error: float

    def cells(self) -> tuple[str, ...]:
        """As `COMPARED` heads them."""
        percent = f"{100 * self.mean_ap:.1f}"
        return self.name, percent, f"{self.log_loss:.3f}", f"{100 * self.calibration_error:.1f} points"


COMPARED = ("probabilities", "mAP %", "log loss", "calibration error")


def compared(given: dict[str, NDArray[np.floating]], labels: Labels, curves: dict[str, Reliability]) -> list[Compared]:
    """MAP, log loss and calibration error of (N, C) probabilities by name.

    Args:
        given: name → P(present).
        labels: (N, C) int8.
        curves: name → their reliability.
    """
    names = [str(place) for place in range(labels.shape[1])]
    return [
        Compared(
            name,
            evaluate(probabilities, labels, names, resamples=0).mean_ap,
            log_loss(probabilities, labels),
            curves[name].calibration_error,
        )
        for name, probabilities in given.items()
    ]


def reliability_figure(curves: dict[str, Reliability]) -> Figure:
    """Share present over probability, a line per name, with the line of perfect calibration."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], color="#566072", linewidth=1, linestyle=":")
    for (name, curve), colour in zip(curves.items(), ("#1a5fb4", "#a51d2d", "#1d6b3c"), strict=False):
        x, y = (100 * np.array([getattr(one, key) for one in curve.bins]) for key in ("probability", "present"))
        low, high = (100 * np.array([getattr(one, key) for one in curve.bins]) for key in ("low", "high"))
        axes.errorbar(x, y, [y - low, high - y], fmt="o-", color=colour, label=name, markersize=4, capsize=2)
    axes.set_xlabel("probability, %")
    axes.set_ylabel("share of labels present, %")
    axes.grid(color="#e3e7ed")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def _bin(said: NDArray[np.float64], there: NDArray[np.bool_]) -> Bin:
    count, share = len(said), float(there.mean())
    spread = Z**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * float(np.sqrt(share * (1 - share) / count + spread / (4 * count)))
    return Bin(
        count, float(said.mean()), share, min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)
    )
