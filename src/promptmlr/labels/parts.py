"""Parts of the known labels: some held out, or all in folds; stratified by class and kind."""

import numpy as np
from numpy.typing import NDArray

from promptmlr.errors import UserError
from promptmlr.labels.codes import ABSENT, PRESENT, UNKNOWN, Labels, hide

__all__ = ["hold_out", "label_folds"]


def hold_out(labels: Labels, fraction: float, seed: int) -> tuple[Labels, Labels]:
    """Split the observed labels in two, to fit on one part and select on the other.

    Every observed label goes to exactly one part; round(fraction · observed) labels, at least one, are held out,
    stratified by class and kind.

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
    # Stratified by class and kind, so that rare present labels are among them.
    taken = (np.arange(count) * observed) // count
    held[rows[taken], columns[taken]] = True
    return hide(labels, ~held), hide(labels, held)


def label_folds(labels: Labels, seed: int, folds: int) -> NDArray[np.int64]:
    """(N, C) the fold 0 … K − 1 of each known label, -1 for unknown ones, stratified by class and kind.

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
    """Rows and columns of all known labels, and the index of each among those of its class and kind.

    Present labels come before absent ones, class by class, in random order within a class.
    """
    parts = []
    for value in (PRESENT, ABSENT):
        rows, columns = np.nonzero(labels == value)
        order = rng.permutation(len(rows))
        order = order[np.argsort(columns[order], kind="stable")]
        parts.append((rows[order], columns[order], np.arange(len(order))))
    rows, columns, place = (np.concatenate(column) for column in zip(*parts, strict=True))
    return rows, columns, place
