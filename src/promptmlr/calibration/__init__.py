"""Probabilities that mean something, and thresholds, both from observed labels that training did not see.

CLIP's logits are far too sure of themselves. A line per class, drawn to that of all classes where labels are few, makes
log odds of margins, so that of the images given 70 % about 70 % hold the class. Rankings, and with them average
precision, stay as they are.
"""

from promptmlr.calibration.fitting import calibration_of, fit_calibration
from promptmlr.calibration.lines import log_loss, shared_scaling
from promptmlr.calibration.record import FITTED, Basis, CalibratedRecognizer, Calibration, margins

__all__ = [
    "FITTED",
    "Basis",
    "CalibratedRecognizer",
    "Calibration",
    "calibration_of",
    "fit_calibration",
    "log_loss",
    "margins",
    "shared_scaling",
]
