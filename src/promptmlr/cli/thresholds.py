"""`--precision`: the threshold from which on as many labels are right as asked."""

from typing import TYPE_CHECKING

from promptmlr.cli.progress import note
from promptmlr.errors import UserError

if TYPE_CHECKING:
    from promptmlr.run import Run

__all__ = ["threshold_of"]


def threshold_of(run: "Run", precision: float, threshold: float | None) -> float:
    """The threshold of a run for a share of right labels; what known labels say of it is printed.

    Raises:
        UserError: a threshold is asked for as well, or the run has none by precision.
    """
    if threshold is not None:
        raise UserError("--precision and --threshold both say where a label begins; give one of them")
    if run.calibration is None:
        raise UserError(
            f"run {run.path} is not calibrated (its labels are of one kind, or --no-calibrate was given), so it has no "
            "thresholds by precision; train it with --method anchored, which always has them"
        )
    point = run.calibration.threshold_of(precision)
    checked = (
        f"of {point.predicted} known labels above it, which training did not see, {point.right} are right"
        if point.predicted
        else "no known label says whether that is so"
    )
    if point.threshold >= 1:
        note(f"no probability is high enough for {100 * precision:g} % right labels, so nothing is labelled")
    else:
        note(f"labels are classes above {point.threshold:.3f}, for {100 * precision:g} % right ones; {checked}")
    return point.threshold
