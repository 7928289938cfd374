"""Label codes, and what hides labels: a mask.

Labels are (N, C) int8 over N images sorted by id and C classes: 1 present, 0 absent, -1 unknown. Other encodings
are translated where a file is read, and nowhere else.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from promptmlr.errors import UserError

__all__ = ["ABSENT", "PRESENT", "UNKNOWN", "Keep", "Labels", "hide", "keep_mask", "mask_hash"]

PRESENT, ABSENT, UNKNOWN = 1, 0, -1

Labels = NDArray[np.int8]
Keep = NDArray[np.bool_]


def keep_mask(shape: tuple[int, int], fraction: float, seed: int) -> Keep:
    """Keep each label independently with probability `fraction`: the standard partial-label protocol.

    Masks of one seed are nested: what a small fraction keeps, a larger one keeps too.

    Args:
        shape: (N, C); rows are images sorted by id.
        fraction: probability in (0, 1]; 1 keeps everything.
        seed: of `numpy.random.default_rng`.

    Returns:
        (N, C) bool, True where the label is kept.

    Raises:
        UserError: the fraction is outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise UserError(f"the observed fraction {fraction} is outside (0, 1]; 0.1 keeps a tenth of the labels")
    return np.random.default_rng(seed).random(shape) < fraction


def hide(labels: Labels, keep: Keep) -> Labels:
    """Make every label unknown that is not kept; `labels` (N, C) int8 and `keep` (N, C) bool stay as they are."""
    if labels.shape != keep.shape:
        raise UserError(f"a mask of shape {keep.shape} does not fit labels of shape {labels.shape}")
    return np.where(keep, labels, np.int8(UNKNOWN))


def mask_hash(keep: Keep) -> str:
    """SHA-256 of a mask (N, C) bool in hexadecimal, over its shape and its packed bits."""
    digest = hashlib.sha256(np.array(keep.shape, dtype="<i8").tobytes())
    digest.update(np.packbits(keep).tobytes())
    return digest.hexdigest()
