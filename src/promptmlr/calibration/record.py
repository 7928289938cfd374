"""`calibration.json`, and what it makes of a recognizer: margins become probabilities, and these become labels.

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
    def identity(cls, thresholds: NDArray[np.float64]) -> Self:
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
