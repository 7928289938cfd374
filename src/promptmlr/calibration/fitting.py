"""A calibration from observed labels that training did not see: scale and shift of margins, and thresholds."""

import numpy as np
from numpy.typing import NDArray

from promptmlr.calibration.lines import Cells, fit_lines, log_loss
from promptmlr.calibration.record import Basis, Calibration, Margins
from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.thresholds import expected_f1_thresholds, precision_points

__all__ = ["calibration_of", "fit_calibration"]


def fit_calibration(
    found: Margins,
    labels: Labels,
    unseen: NDArray[np.bool_],
    *,
    around: tuple[float, float] | None = None,
    basis: Basis = "held out",
) -> Calibration:
    """Fit scale and shift on labels that training did not see, and thresholds on the probabilities of unseen cells.

    Args:
        found: (N, C) float64 margins; at known labels, of a recognizer that did not see them.
        labels: (N, C) int8, of which the known ones are used.
        unseen: (N, C) bool, the cells that training did not see: these labels and the unknown ones.
        around: log scale and shift to which the shared ones are shrunk if labels are few; None is "as trained".
        basis: where these labels come from.

    Raises:
        UserError: no label is present, or none absent.
    """
    cells = Cells.known(found, labels)
    if cells.present.all() or not cells.present.any():
        raise UserError(
            f"calibration needs labels of both kinds, and there are {cells.present.sum()} present and "
            f"{(~cells.present).sum()} absent ones; label more images, or leave it out with --no-calibrate"
        )
    lines, spread, after = fit_lines(cells, around)
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
    """A calibration with given scale and shift; thresholds follow from the probabilities of unseen cells.

    Args:
        scale: (C,) of the margin.
        shift: (C,) added to the scaled margin.
        probabilities: (N, C) calibrated; at known labels, of a recognizer that did not see them.
        labels: (N, C) int8.
        unseen: (N, C) bool, the cells that count; for classes without any, all cells count.
        spread: see `Calibration`; so are the others.
        log_loss_before: see `spread`.
        log_loss_after: see `spread`.
        basis: see `spread`.
    """
    both = (labels == PRESENT).any(axis=0) & (labels == ABSENT).any(axis=0)  # else all predictions would be right
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
