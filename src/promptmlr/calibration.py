"""Probabilities that mean something, and thresholds, both from observed labels that training did not see.

CLIP's logits are far too sure of themselves. Per class, the margin m (logit of presence less that of absence) becomes
scale · m + shift (Platt, 1999), so that of the images given 70 % about 70 % hold the class. Rankings, and with them
average precision, stay as they are. Where a class has few labels, its line and its threshold are drawn to those of all
classes together; how strongly is found by cross-validation on the same labels.

Letters: N images, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor, nn

from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.recognizer import Recognizer
from promptmlr.thresholds import (
    NEAR,
    Fraction,
    PrecisionPoint,
    check_precision,
    expected_f1_thresholds,
    precision_points,
)

__all__ = [
    "FITTED",
    "CalibratedRecognizer",
    "Calibration",
    "calibration_of",
    "common_line",
    "fit_calibration",
    "log_loss",
    "margins",
]

Margins = NDArray[np.float64]

FOLDS = 5
SPREADS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
"""How far classes may lie from their common line, as standard deviation of log scale and (doubled) of shift."""
AS_TRAINED = 3.0  # spread of the common line around "as trained": it decides only where there are hardly any labels,
AS_THE_PRIOR = 1.0  # and around the line of the zero-shot, which is known better
LOG_SCALES = (-10.0, 5.0)
SHIFTS = (-50.0, 50.0)

Scale = Annotated[float, Field(gt=0, le=np.exp(LOG_SCALES[1]) + 1)]
Shift = Annotated[float, Field(ge=SHIFTS[0] - 1, le=SHIFTS[1] + 1)]
Basis = Literal["held out", "out of fold", "prior"]
"""Which labels probabilities stand on: those held out; all known ones, each out of fold; or, where these
are too few or of one kind, on what CLIP's margins mean as a rule."""

FITTED: dict[Basis, str] = {
    "held out": "on held-out observed labels",
    "out of fold": "on observed labels, each out of fold",
    "prior": "by what CLIP's margins mean as a rule, and no label checked them",
}
"""How to say so, after "fitted"."""


class Calibration(BaseModel):
    """`calibration.json` of a run folder: what turns the margins of C classes into probabilities and labels.

    Attributes:
        scale: C, of the margin.
        shift: C, added to it, in logits.
        thresholds: C; a label is predicted where the calibrated probability is greater. They maximise expected F1.
        present: C, labels of each class they were fitted on.
        absent: C, the same.
        spread: how far classes were allowed to lie from their common line; 0: all classes share it.
        log_loss_before: mean of -log of the probability of each label, in nats: as trained, or of a run with a prior
            that of the zero-shot; None where there is no such label.
        log_loss_after: the same calibrated, cross-validated; None with labels of too few images.
        basis: which labels it stands on.
        precision: thresholds for a share of predicted labels that are right.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: tuple[Scale, ...]
    shift: tuple[Shift, ...]
    thresholds: tuple[Fraction, ...]
    present: tuple[int, ...]
    absent: tuple[int, ...]
    spread: float
    log_loss_before: float | None
    log_loss_after: float | None
    basis: Basis = "held out"
    precision: tuple[PrecisionPoint, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len({len(column) for column in (self.scale, self.shift, self.thresholds, self.present, self.absent)}) != 1:
            raise ValueError("its columns have different numbers of classes")
        return self

    def probabilities(self, found: Margins) -> Margins:
        """(N, C) margins → (N, C) P(present)."""
        calibrated: Margins = expit(np.array(self.scale) * found + np.array(self.shift))
        return calibrated

    def threshold_of(self, precision: float) -> PrecisionPoint:
        """The point of the least precision that is at least as high as asked.

        Raises:
            UserError: it is outside of what the points cover, or there is none.
        """
        if not self.precision:
            raise UserError("this run has no thresholds by precision; train it again")
        check_precision(precision)
        return next(point for point in self.precision if point.asked >= precision - NEAR)

    @classmethod
    def untouched(cls, thresholds: NDArray[np.float64]) -> Self:
        """Of C classes whose logits stay as they are trained, with (C,) thresholds."""
        ones, zeros = (1.0,) * len(thresholds), (0,) * len(thresholds)
        return cls(
            scale=ones,
            shift=zeros,
            thresholds=tuple(thresholds.tolist()),
            present=zeros,
            absent=zeros,
            spread=0.0,
            log_loss_before=None,
            log_loss_after=None,
            basis="prior",
        )

    def for_classes(self, chosen: NDArray[np.bool_], others: "Calibration | None", threshold: float) -> Self:
        """The same for the chosen ones of C classes; the others keep what they had, or nothing and one threshold."""
        plain = {"scale": 1.0, "shift": 0.0, "thresholds": threshold, "present": 0, "absent": 0}
        columns = {
            name: tuple(np.where(chosen, getattr(self, name), getattr(others, name, value)).tolist())
            for name, value in plain.items()
        }
        return self.model_copy(update=columns)


class CalibratedRecognizer(nn.Module):
    """A recognizer whose logits are calibrated: regions (B, R, D) → (B, 2, C), 0 absence, 1 presence.

    Args:
        recognizer: over C classes.
        calibration: of the same classes.
    """

    def __init__(self, recognizer: Recognizer, calibration: Calibration) -> None:
        super().__init__()
        self.recognizer = recognizer
        self.scale = nn.Buffer(torch.tensor(calibration.scale))
        self.shift = nn.Buffer(torch.tensor(calibration.shift))

    def forward(self, regions: Tensor) -> Tensor:
        """Calibrated logits, half of the calibrated margin on either side of zero."""
        absence, presence = self.recognizer(regions).unbind(dim=1)
        margin = self.scale * (presence - absence) + self.shift
        return torch.stack([-margin / 2, margin / 2], dim=1)


def margins(logits: Tensor) -> Tensor:
    """(B, 2, C) logits → (B, C): logit of presence less that of absence."""
    return logits[:, 1] - logits[:, 0]


def fit_calibration(
    found: Margins,
    labels: Labels,
    unseen: NDArray[np.bool_],
    *,
    around: tuple[float, float] | None = None,
    basis: Basis = "held out",
) -> Calibration:
    """Fit lines on labels that training did not see, and choose thresholds by what they say of all it did not see.

    Args:
        found: (N, C) float64 margins; of known labels, those of a recognizer that did not see them.
        labels: (N, C) int8, of which the known ones are used.
        unseen: (N, C) bool, these and those that nobody knows.
        around: log scale and shift that the common line is drawn to, where labels are few; None is "as trained".
        basis: what to call these labels.

    Raises:
        UserError: no label is present, or none absent.
    """
    cells = _Cells.known(found, labels)
    if cells.present.all() or not cells.present.any():
        raise UserError(
            f"calibration needs labels of both kinds, and there are {cells.present.sum()} present and "
            f"{(~cells.present).sum()} absent ones; label more images, or leave it out with --no-calibrate"
        )
    centre = _Common(0.0, 0.0, AS_TRAINED) if around is None else _Common(*around, AS_THE_PRIOR)
    spread, after = _best_spread(cells, centre)
    lines = _fit(cells, [spread], centre)[0]
    return calibration_of(
        np.exp(lines.log_scale),
        lines.shift,
        lines.probabilities(found),
        labels,
        unseen,
        spread=spread,
        log_loss_before=log_loss(cells.margin, cells.present),
        log_loss_after=after,
        basis=basis,
    )


def calibration_of(
    scale: NDArray[np.float64],
    shift: NDArray[np.float64],
    probabilities: Margins,
    labels: Labels,
    unseen: NDArray[np.bool_],
    *,
    spread: float,
    log_loss_before: float | None,
    log_loss_after: float | None,
    basis: Basis,
) -> Calibration:
    """A calibration with known lines: thresholds follow from the probabilities of what training did not see.

    Args:
        scale: (C,) of the margin.
        shift: (C,) added to it.
        probabilities: (N, C) calibrated; of known labels, those of a recognizer that did not see them.
        labels: (N, C) int8.
        unseen: (N, C) bool, the cells to count; of classes without any, all are.
        spread: see `Calibration`; so are the others.
        log_loss_before: see `spread`.
        log_loss_after: see `spread`.
        basis: see `spread`.
    """
    both = (labels == PRESENT).any(axis=0) & (labels == ABSENT).any(axis=0)  # ticks alone are always right
    known = unseen & (labels != UNKNOWN) & both
    counted = unseen | ~unseen.any(axis=0)
    return Calibration(
        scale=tuple(scale.tolist()),
        shift=tuple(shift.tolist()),
        thresholds=tuple(expected_f1_thresholds(probabilities, counted).tolist()),
        present=tuple((labels == PRESENT).sum(axis=0).tolist()),
        absent=tuple((labels == ABSENT).sum(axis=0).tolist()),
        spread=spread,
        log_loss_before=log_loss_before,
        log_loss_after=log_loss_after,
        basis=basis,
        precision=precision_points(probabilities[counted], probabilities[known], labels[known] == PRESENT),
    )


def common_line(found: Margins, labels: Labels, spread: float) -> tuple[float, float]:
    """Log scale and shift of the line that all classes have in common, drawn to "as it is".

    Args:
        found: (N, C) float64 margins; of unknown labels they may be anything.
        labels: (N, C) int8.
        spread: standard deviation of log scale and shift around zero.
    """
    cells = _Cells.known(found, labels).together()
    line = _most_likely(cells, _Lines(np.zeros(1), np.zeros(1)), spread, spread)
    return float(line.log_scale[0]), float(line.shift[0])


def log_loss(found: Margins, present: NDArray[np.bool_]) -> float:
    """Mean of -log P(label), in nats, for (K,) margins of K labels."""
    return float(np.logaddexp(0, np.where(present, -found, found)).mean())


@dataclass(frozen=True)
class _Cells:
    """K known labels of C classes."""

    margin: Margins  # (K,)
    present: NDArray[np.bool_]  # (K,)
    row: NDArray[np.intp]  # (K,) their images
    column: NDArray[np.intp]  # (K,) their classes
    classes: int

    @classmethod
    def known(cls, found: Margins, labels: Labels) -> Self:
        row, column = np.nonzero(labels != UNKNOWN)
        return cls(found[row, column], labels[row, column] == PRESENT, row, column, labels.shape[1])

    def where(self, chosen: NDArray[np.bool_]) -> "_Cells":
        return _Cells(self.margin[chosen], self.present[chosen], self.row[chosen], self.column[chosen], self.classes)

    def together(self) -> "_Cells":
        """The same labels as if all were of one class."""
        return replace(self, column=np.zeros_like(self.column), classes=1)


@dataclass(frozen=True)
class _Common:
    """Where the common line is looked for, and how far from there."""

    log_scale: float
    shift: float
    spread: float

    def fitted(self, cells: "_Cells") -> "_Lines":
        """The common line of all cells."""
        around = _Lines(np.array([self.log_scale]), np.array([self.shift]))
        return _most_likely(cells.together(), around, self.spread)


@dataclass(frozen=True)
class _Lines:
    """Log scale and shift, (C,) each."""

    log_scale: NDArray[np.float64]
    shift: NDArray[np.float64]

    def probabilities(self, found: Margins) -> Margins:
        """(N, C) margins → (N, C) P(present)."""
        calibrated: Margins = expit(np.exp(self.log_scale) * found + self.shift)
        return calibrated

    def margins(self, cells: _Cells) -> Margins:
        """(K,) calibrated."""
        calibrated: Margins = np.exp(self.log_scale[cells.column]) * cells.margin + self.shift[cells.column]
        return calibrated


def _best_spread(cells: _Cells, centre: _Common) -> tuple[float, float | None]:
    """The spread with the least cross-validated loss, and that loss; folds are of images."""
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


def _fit(cells: _Cells, spreads: Sequence[float], centre: _Common) -> list[_Lines]:
    """The lines of all classes for each spread: the common one at 0, else each around the common one."""
    common = centre.fitted(cells)
    shared = _Lines(np.repeat(common.log_scale, cells.classes), np.repeat(common.shift, cells.classes))
    return [_most_likely(cells, shared, spread) if spread else shared for spread in spreads]


def _most_likely(cells: _Cells, around: _Lines, spread: float, shift_spread: float | None = None) -> _Lines:
    """The most likely lines a posteriori: normal priors around others, the labels independent.

    Args:
        cells: the labels.
        around: means of the priors.
        spread: standard deviation of log scales.
        shift_spread: of shifts; None is the double.
    """
    classes, sign = cells.classes, np.where(cells.present, 1.0, -1.0)
    centre = np.concatenate([around.log_scale, around.shift])
    precision = np.repeat([spread**-2, (shift_spread or 2 * spread) ** -2], classes)

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        lines = _Lines(point[:classes], point[classes:])
        found = sign * lines.margins(cells)
        away = -sign * expit(-found)  # of the loss, along each calibrated margin
        by_scale = np.bincount(cells.column, away * (sign * found - lines.shift[cells.column]), classes)
        by_shift = np.bincount(cells.column, away, classes)
        drawn = point - centre
        value = float(np.logaddexp(0, -found).sum() + (precision * drawn**2).sum() / 2)
        return value, np.concatenate([by_scale, by_shift]) + precision * drawn

    bounds = [LOG_SCALES] * classes + [SHIFTS] * classes
    point = minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=bounds).x
    return _Lines(point[:classes], point[classes:])
