"""Training makes probabilities too sure of the labels it saw; the folds say by how much.

Letters: N images, C classes.
"""

from dataclasses import replace

import numpy as np
import torch

from promptmlr.calibration import common_line
from promptmlr.labels import UNKNOWN
from promptmlr.prior.fitting import BegunRun
from promptmlr.prior.strength import INFINITE

__all__ = ["recalibrate"]

SPREAD = 0.15  # of log scale and shift around "as it is", a standard deviation: few labels change little


def recalibrate(begun: BegunRun) -> BegunRun:
    """Draw a trained run's scaling onto the line that all classes have in common of their log odds out of fold.

    Log odds z become exp(a) · z + b of the least log loss on the labels each fold did not see, with Gaussians around
    a = b = 0 (Platt, 1999). Chosen on drawn worlds, where it mends the overconfidence of many labels.

    Args:
        begun: trained; its scaling is changed in place.

    Returns:
        The same run with its (N, C) log odds on that line. Without a choice of strength, under an infinite prior, and
        where unknown labels cost something (the folds then say nothing of absence) it is left as it is.
    """
    record, odds, scaling = begun.record, begun.odds, begun.run.recognizer.scaling
    if record is None or odds is None or scaling is None or record.lambda_ == INFINITE or record.unknown != "ignore":
        return begun
    seen = np.where(np.isfinite(odds), begun.run.labels, np.int8(UNKNOWN))
    log_scale, shift = common_line(odds, seen, SPREAD)
    with torch.no_grad():
        scaling.log_scale.add_(log_scale)
        scaling.shift.mul_(np.exp(log_scale)).add_(shift)
    return replace(begun, odds=np.exp(log_scale) * odds + shift)
