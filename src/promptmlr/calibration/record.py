"""`calibration.json`, and the recognizer that it calibrates: margins become probabilities, probabilities become labels.

Letters: B, N images, C classes.
"""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.special import expit
from torch import Tensor, nn

from promptmlr.errors import UserError
from promptmlr.recognizer import Recognizer
from promptmlr.thresholds import NEAR, Fraction, PrecisionPoint, check_precision

__all__ = ["FITTED", "LOG_SCALES", "SHIFTS", "Basis", "CalibratedRecognizer", "Calibration", "Margins", "margins"]

Margins = NDArray[np.float64]

LOG_SCALES = (-10.0, 5.0)
SHIFTS = (-50.0, 50.0)

Scale = Annotated[float, Field(gt=0, le=np.exp(LOG_SCALES[1]) + 1)]
Shift = Annotated[float, Field(ge=SHIFTS[0] - 1, le=SHIFTS[1] + 1)]
Basis = Literal["held out", "out of fold", "prior"]
"""What a calibration was fitted on: held-out labels; all known labels, each out of fold; or, if these are too few or
of one kind only, a prior of what CLIP's margins mean."""

FITTED: dict[Basis, str] = {
    "held out": "on held-out observed labels",
    "out of fold": "on observed labels, each out of fold",
    "prior": "by what CLIP's margins mean as a rule, and no label checked them",
}
"""Basis → words after "fitted"."""


class Calibration(BaseModel):
    """`calibration.json` of a run folder: what turns the margins of C classes into probabilities and labels.

    Attributes:
        scale: C factors of the margin.
        shift: C terms added to the scaled margin, in logits.
        thresholds: C; a label is predicted if the calibrated probability is greater. They maximise expected F1.
        present: C numbers of present labels that were fitted on.
        absent: C numbers of absent labels that were fitted on.
        spread: standard deviation of classes around their shared line; 0: all classes share it.
        log_loss_before: mean of -log of the probability of each label, in nats, before calibration: as trained, or for
            a run with a prior of the zero-shot; None without labels.
        log_loss_after: the same after calibration, cross-validated; None if labels are of too few images.
        basis: what it was fitted on.
        precision: thresholds by the share of predicted labels that are right.
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
        """The point with the smallest precision that is at least the requested one.

        Raises:
            UserError: the precision is outside the range of the points, or there are no points.
        """
        if not self.precision:
            raise UserError("this run has no thresholds by precision; train it again")
        check_precision(precision)
        return next(point for point in self.precision if point.asked >= precision - NEAR)

    @classmethod
    def identity(cls, thresholds: NDArray[np.float64]) -> Self:
        """A calibration that leaves the logits of C classes as trained, with (C,) thresholds."""
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
        """This calibration at the chosen ones of C classes, `others` or no calibration and `threshold` at the rest."""
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
        """Calibrated logits: plus and minus half of the calibrated margin."""
        absence, presence = self.recognizer(regions).unbind(dim=1)
        margin = self.scale * (presence - absence) + self.shift
        return torch.stack([-margin / 2, margin / 2], dim=1)


def margins(logits: Tensor) -> Tensor:
    """(B, 2, C) logits → (B, C) margins: presence logit minus absence logit."""
    return logits[:, 1] - logits[:, 0]
