"""Calibrated probabilities, and thresholds, both fitted on observed labels that training did not see.

CLIP's logits are overconfident. A scale and a shift per class, shrunk to those of all classes if labels are few, turn
margins into log odds, so that about 70 % of the images with a probability of 70 % show the class (Platt scaling).
Rankings, and with them average precision, do not change.
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
