"""A line per class from margins to log odds, fitted on few labels.

Per class, the margin m (presence logit minus absence logit) becomes scale · m + shift (Platt, 1999). The line of a
class with few labels is shrunk to the line that all classes share; the amount of shrinkage is chosen by
cross-validation on the same labels. Letters: N images, C classes, K labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from promptmlr.calibration.record import LOG_SCALES, SHIFTS, Margins
from promptmlr.labels import PRESENT, UNKNOWN, Labels

__all__ = ["Cells", "Lines", "fit_lines", "log_loss", "shared_scaling"]

FOLDS = 5
SPREADS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Candidate standard deviations of classes around their shared line: of log scale and, doubled, of shift."""
AS_TRAINED = 3.0  # spread of the common line around "as trained": it decides only where there are hardly any labels,
AS_THE_PRIOR = 1.0  # and around the line of the zero-shot, which is known better


@dataclass(frozen=True)
class Cells:
    """K known labels of C classes, each with its margin."""

    margin: Margins  # (K,)
    present: NDArray[np.bool_]  # (K,)
    row: NDArray[np.intp]  # (K,) their images
    column: NDArray[np.intp]  # (K,) their classes
    classes: int

    @classmethod
    def known(cls, found: Margins, labels: Labels) -> Self:
        """The known ones of (N, C) labels with their (N, C) margins."""
        row, column = np.nonzero(labels != UNKNOWN)
        return cls(found[row, column], labels[row, column] == PRESENT, row, column, labels.shape[1])

    def where(self, chosen: NDArray[np.bool_]) -> "Cells":
        """The cells selected by a (K,) mask."""
        return Cells(self.margin[chosen], self.present[chosen], self.row[chosen], self.column[chosen], self.classes)

    def together(self) -> "Cells":
        """The same labels as if they were of a single class."""
        return replace(self, column=np.zeros_like(self.column), classes=1)


@dataclass(frozen=True)
class Lines:
    """Log scale and shift, (C,) each."""

    log_scale: NDArray[np.float64]
    shift: NDArray[np.float64]

    def probabilities(self, found: Margins) -> Margins:
        """(N, C) margins → (N, C) P(present)."""
        calibrated: Margins = expit(np.exp(self.log_scale) * found + self.shift)
        return calibrated

    def margins(self, cells: Cells) -> Margins:
        """(K,) calibrated margins."""
        calibrated: Margins = np.exp(self.log_scale[cells.column]) * cells.margin + self.shift[cells.column]
        return calibrated


@dataclass(frozen=True)
class _Common:
    """The prior of the shared line: its mean and standard deviation."""

    log_scale: float
    shift: float
    spread: float

    def fitted(self, cells: Cells) -> Lines:
        """The shared line of all cells."""
        around = Lines(np.array([self.log_scale]), np.array([self.shift]))
        return _most_likely(cells.together(), around, self.spread)


def fit_lines(cells: Cells, around: tuple[float, float] | None) -> tuple[Lines, float, float | None]:
    """The line of each class, shrunk to the shared line, which is itself shrunk to a prior line.

    Args:
        cells: labels of both kinds.
        around: log scale and shift of the prior line; None is "as trained".

    Returns:
        The lines; the chosen standard deviation around the shared line; and the cross-validated mean log loss in nats,
        None if labels are of too few images.
    """
    centre = _Common(0.0, 0.0, AS_TRAINED) if around is None else _Common(*around, AS_THE_PRIOR)
    spread, loss = _best_spread(cells, centre)
    return _fit(cells, [spread], centre)[0], spread, loss


def shared_scaling(found: Margins, labels: Labels, spread: float) -> tuple[float, float]:
    """Log scale and shift that all classes share, shrunk to zero, which changes nothing.

    Args:
        found: (N, C) float64 margins; at unknown labels they are not used.
        labels: (N, C) int8.
        spread: standard deviation of log scale and shift around zero.
    """
    cells = Cells.known(found, labels).together()
    line = _most_likely(cells, Lines(np.zeros(1), np.zeros(1)), spread, spread)
    return float(line.log_scale[0]), float(line.shift[0])


def log_loss(found: Margins, present: NDArray[np.bool_]) -> float:
    """Mean of -log P(label), in nats, for (K,) margins of K labels."""
    return float(np.logaddexp(0, np.where(present, -found, found)).mean())


def _best_spread(cells: Cells, centre: _Common) -> tuple[float, float | None]:
    """The spread with the smallest cross-validated loss, and that loss; folds are over images."""
    images, place = np.unique(cells.row, return_inverse=True)
    fold = np.random.default_rng(0).permutation(len(images))[place] % FOLDS
    losses = np.zeros(len(SPREADS))
    for number in range(FOLDS):
        seen, left_out = cells.where(fold != number), cells.where(fold == number)
        if not len(left_out.row) or seen.present.all() or not seen.present.any():
            return 0.0, None
        for index, lines in enumerate(_fit(seen, SPREADS, centre)):
            losses[index] += log_loss(lines.margins(left_out), left_out.present) * len(left_out.row)
    best = int(losses.argmin())
    return SPREADS[best], float(losses[best] / len(cells.row))


def _fit(cells: Cells, spreads: Sequence[float], centre: _Common) -> list[Lines]:
    """The lines of all classes for a spread: the shared line at 0, else each class around the shared line."""
    common = centre.fitted(cells)
    shared = Lines(np.repeat(common.log_scale, cells.classes), np.repeat(common.shift, cells.classes))
    return [_most_likely(cells, shared, spread) if spread else shared for spread in spreads]


def _most_likely(cells: Cells, around: Lines, spread: float, shift_spread: float | None = None) -> Lines:
    """Maximum a posteriori lines under normal priors, with independent labels.

    Args:
        cells: the labels.
        around: means of the priors.
        spread: standard deviation of log scales.
        shift_spread: standard deviation of shifts; None is twice `spread`.
    """
    classes, sign = cells.classes, np.where(cells.present, 1.0, -1.0)
    centre = np.concatenate([around.log_scale, around.shift])
    precision = np.repeat([spread**-2, (shift_spread or 2 * spread) ** -2], classes)

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        lines = Lines(point[:classes], point[classes:])
        found = sign * lines.margins(cells)
        away = -sign * expit(-found)  # of the loss, along each calibrated margin
        by_scale = np.bincount(cells.column, away * (sign * found - lines.shift[cells.column]), classes)
        by_shift = np.bincount(cells.column, away, classes)
        drawn = point - centre
        value = float(np.logaddexp(0, -found).sum() + (precision * drawn**2).sum() / 2)
        return value, np.concatenate([by_scale, by_shift]) + precision * drawn

    bounds = [LOG_SCALES] * classes + [SHIFTS] * classes
    point = minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Lines(point[:classes], point[classes:])
