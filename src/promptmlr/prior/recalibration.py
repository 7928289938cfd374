"""Correction of the overconfidence that training causes, fitted on the folds' out-of-fold log odds.

Letters: N images, C classes.
"""

from dataclasses import replace

import numpy as np
import torch

from promptmlr.calibration import shared_scaling
from promptmlr.labels import UNKNOWN
from promptmlr.prior.fitting import BegunRun
from promptmlr.prior.strength import INFINITE

__all__ = ["recalibrate"]

SPREAD = 0.15  # of log scale and shift around "as it is", a standard deviation: few labels change little


def recalibrate(begun: BegunRun) -> BegunRun:
    """Rescale a trained run's log odds by a scale and shift that all classes share.

    Log odds z become exp(a) · z + b, with a and b minimising the log loss of the labels that each fold did not see
    under Gaussian priors around a = b = 0 (Platt, 1999). On drawn worlds this corrects the overconfidence that many
    labels cause.

    Args:
        begun: trained; its scaling is changed in place.

    Returns:
        The same run with its (N, C) log odds rescaled. It is unchanged without a choice of strength, under an infinite
        prior, and if unknown labels have a cost, because the folds then hold no information on absence.
    """
    record, odds, scaling = begun.record, begun.odds, begun.run.recognizer.scaling
    if record is None or odds is None or scaling is None or record.lambda_ == INFINITE or record.unknown != "ignore":
        return begun
    seen = np.where(np.isfinite(odds), begun.run.labels, np.int8(UNKNOWN))
    log_scale, shift = shared_scaling(odds, seen, SPREAD)
    with torch.no_grad():
        scaling.log_scale.add_(log_scale)
        scaling.shift.mul_(np.exp(log_scale)).add_(shift)
    return replace(begun, odds=np.exp(log_scale) * odds + shift)
