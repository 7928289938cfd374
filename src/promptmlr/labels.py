"""Label codes, and which labels a learner may see.

Labels are (N, C) int8 over N images sorted by id and C classes: 1 present, 0 absent, -1 unknown. Other encodings
are translated where a file is read, and nowhere else.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from promptmlr.errors import UserError

__all__ = [
    "ABSENT",
    "PRESENT",
    "UNKNOWN",
    "Keep",
    "Labels",
    "hide",
    "hold_out",
    "keep_mask",
    "label_folds",
    "mask_hash",
]

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


def hold_out(labels: Labels, fraction: float, seed: int) -> tuple[Labels, Labels]:
    """Part the observed labels in two, to fit on one part and select on the other.

    Every observed label goes to exactly one part; round(fraction · observed) labels, at least one, are held out, of
    each class and kind as many as its share.

    Args:
        labels: (N, C) int8.
        fraction: share of the observed labels to hold out, in (0, 1).
        seed: of the draw; it may be the seed of the mask that hid the other labels.

    Returns:
        Two (N, C) int8 arrays, to fit and held out, each unknown where the other is known.

    Raises:
        UserError: the fraction is outside (0, 1), or fewer than two labels are observed.
    """
    if not 0 < fraction < 1:
        raise UserError(f"the held-out fraction {fraction} is outside (0, 1)")
    observed = int((labels != UNKNOWN).sum())
    if observed < 2:
        raise UserError(f"{observed} observed labels cannot be parted into fitted and held-out ones")
    count = min(max(round(fraction * observed), 1), observed - 1)
    rows, columns, _ = _by_kind(labels, np.random.default_rng(seed))
    held = np.zeros(labels.shape, dtype=np.bool_)
    # Evenly through the classes and kinds, so that rare present labels are among them.
    taken = (np.arange(count) * observed) // count
    held[rows[taken], columns[taken]] = True
    return hide(labels, ~held), hide(labels, held)


def label_folds(labels: Labels, seed: int, folds: int) -> NDArray[np.int64]:
    """(N, C) the fold 0 … K − 1 of each known label, -1 of unknown ones; labels of a class and kind are spread alike.

    Args:
        labels: (N, C) int8.
        seed: of the draw.
        folds: K.
    """
    rows, columns, place = _by_kind(labels, np.random.default_rng(seed))
    found = np.full(labels.shape, -1)
    found[rows, columns] = place % folds
    return found


def _by_kind(labels: Labels, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of all known labels, and the place of each among those of its kind.

    Present ones stand before absent ones, class by class, each class in random order.
    """
    parts = []
    for value in (PRESENT, ABSENT):
        rows, columns = np.nonzero(labels == value)
        order = rng.permutation(len(rows))
        order = order[np.argsort(columns[order], kind="stable")]
        parts.append((rows[order], columns[order], np.arange(len(order))))
    rows, columns, place = (np.concatenate(column) for column in zip(*parts, strict=True))
    return rows, columns, place
