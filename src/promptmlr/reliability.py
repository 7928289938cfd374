"""Reliability of probabilities: are about 70 % of the labels with a probability near 70 % present?

Letters: N images, C classes, T bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from promptmlr.evaluation import evaluate, log_loss
from promptmlr.labels import PRESENT, UNKNOWN, Labels

__all__ = [
    "METRICS_HEADER",
    "Bin",
    "ProbabilityMetrics",
    "Reliability",
    "probability_metrics",
    "reliability",
    "reliability_figure",
]

BINS = 10
Z = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class Bin:
    """Labels of similar probability.

    Attributes:
        labels: their number.
        probability: their mean probability.
        present: the share of them that is present.
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
    """How well probabilities are calibrated.

    Attributes:
        bins: at most T, in order of probability.
        calibration_error: expected calibration error: mean over labels of |probability − share present| of their bin.
        brier: mean squared difference of probability and label.
    """

    bins: Sequence[Bin]
    calibration_error: float
    brier: float


def reliability(probabilities: NDArray[np.floating], labels: Labels, bins: int = BINS) -> Reliability:
    """Reliability over the known labels, in bins of equal width.

    Args:
        probabilities: (N, C) P(present).
        labels: (N, C) int8; unknown ones are left out.
        bins: T.
    """
    known = labels != UNKNOWN
    probability, present = probabilities[known].astype(np.float64), labels[known] == PRESENT
    bin_index = np.minimum((probability * bins).astype(np.int64), bins - 1)
    found = [_bin(probability[bin_index == number], present[bin_index == number]) for number in np.unique(bin_index)]
    gaps = [one.labels * abs(one.probability - one.present) for one in found]
    return Reliability(found, float(sum(gaps) / len(probability)), float(((probability - present) ** 2).mean()))


@dataclass(frozen=True)
class ProbabilityMetrics:
    """Metrics of one set of probabilities.

    Attributes:
        name: of the recognizer.
        mean_ap: in 0..1.
        log_loss: mean of -log of the probability of each known label, in nats.
        calibration_error: see `Reliability`.
    """

    name: str
    mean_ap: float
    log_loss: float
    calibration_error: float

    def cells(self) -> tuple[str, ...]:
        """Cells of a table under `METRICS_HEADER`."""
        percent = f"{100 * self.mean_ap:.1f}"
        return self.name, percent, f"{self.log_loss:.3f}", f"{100 * self.calibration_error:.1f} points"


METRICS_HEADER = ("probabilities", "mAP %", "log loss", "calibration error")


def probability_metrics(
    by_name: dict[str, NDArray[np.floating]], labels: Labels, curves: dict[str, Reliability]
) -> list[ProbabilityMetrics]:
    """MAP, log loss and calibration error of (N, C) probabilities by name.

    Args:
        by_name: name → P(present).
        labels: (N, C) int8.
        curves: name → their reliability.
    """
    names = [str(bin_index) for bin_index in range(labels.shape[1])]
    return [
        ProbabilityMetrics(
            name,
            evaluate(probabilities, labels, names, resamples=0).mean_ap,
            log_loss(probabilities, labels),
            curves[name].calibration_error,
        )
        for name, probabilities in by_name.items()
    ]


def reliability_figure(curves: dict[str, Reliability]) -> Figure:
    """Reliability diagram: share present by probability, a line per name, and the line of perfect calibration."""
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


def _bin(probability: NDArray[np.float64], present: NDArray[np.bool_]) -> Bin:
    count, share = len(probability), float(present.mean())
    spread = Z**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * float(np.sqrt(share * (1 - share) / count + spread / (4 * count)))
    return Bin(
        count,
        float(probability.mean()),
        share,
        min(max(centre - half, 0.0), share),
        max(min(centre + half, 1.0), share),
    )
