"""Labels: their codes, which of them a learner may see, and how they are parted."""

from promptmlr.labels.codes import ABSENT, PRESENT, UNKNOWN, Keep, Labels, hide, keep_mask, mask_hash
from promptmlr.labels.observation import Observation
from promptmlr.labels.parts import hold_out, label_folds

__all__ = [
    "ABSENT",
    "PRESENT",
    "UNKNOWN",
    "Keep",
    "Labels",
    "Observation",
    "hide",
    "hold_out",
    "keep_mask",
    "label_folds",
    "mask_hash",
]
