"""Label codes, and which labels a learner may see.

Labels are (N, C) int8 over N images sorted by id and C classes: 1 present, 0 absent, -1 unknown. Other encodings
are translated where a file is read, and nowhere else.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from promptmlr.errors import UserError
from promptmlr.options import HidingOptions

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

PRESENT, ABSENT, UNKNOWN = 1, 0, -1

_STREAMS = {"labels": 1, "positive-only": 2, "single-positive": 3}  # of random numbers beside that of fractions

Labels = NDArray[np.int8]
Keep = NDArray[np.bool_]


@dataclass(frozen=True)
class Observation:
    """A protocol that hides some of the known labels from the learner.

    One random number per label, drawn by seed and protocol, decides, so that a larger amount keeps all labels of a
    smaller one. Different protocols with one seed are independent, so that one can be applied after another.

    Attributes:
        protocol: "fraction" keeps each label with a probability, the usual way to make labels partial; "positive-only"
            keeps each present one with a probability, and no absent one; "single-positive" keeps one present label of
            each image, chosen at random (Cole and others, "Multi-Label Learning from Single Positive Labels", CVPR
            2021); "labels" keeps a number of the known ones.
        amount: that probability, in (0, 1], or that number; 1 for "single-positive".

    Raises:
        UserError: on construction, if the amount is invalid.
    """

    protocol: Literal["fraction", "positive-only", "single-positive", "labels"] = "fraction"
    amount: float = 1.0

    def __post_init__(self) -> None:
        if self.protocol == "labels":
            if self.amount < 1:
                raise UserError(f"{self.amount} is no number of labels to learn from; 400 keeps four hundred")
        elif not 0 < self.amount <= 1:
            kept = "labels" if self.protocol == "fraction" else "present labels"
            raise UserError(f"{self.amount} is outside (0, 1]; 0.1 keeps a tenth of the {kept}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The protocol with this `name`.

        Raises:
            UserError: there is none.
        """
        text = text.strip()
        if text == "single-positive":
            return cls("single-positive")
        try:
            if found := re.fullmatch(r"([0-9]+) labels?", text):
                return cls("labels", int(found[1]))
            if found := re.fullmatch(r"positive-only:(.+)", text):
                return cls("positive-only", float(found[1]))
            return cls("fraction", float(text))
        except ValueError:
            raise UserError(
                f"{text!r} is no way to hide labels; write a fraction such as 0.1, single-positive, positive-only:0.3 "
                "or '400 labels'"
            ) from None

    @classmethod
    def of(cls, options: HidingOptions) -> Self:
        """The protocol of the command line's options.

        Raises:
            UserError: the options name none, or several.
        """
        text = f"{options.labels} labels" if options.labels is not None else options.observed
        if text is None:
            return cls()
        if "," in text:
            raise UserError(f"--observed {text}: labels are hidden in one way here; `promptmlr compare` takes several")
        try:
            return cls.parse(text)
        except UserError as error:
            raise UserError(f"{options.given}: {error}") from None

    @property
    def name(self) -> str:
        """Its name in options and files: "0.1", "positive-only:0.3", "single-positive", "400 labels"."""
        names = {
            "fraction": f"{self.amount}",
            "positive-only": f"positive-only:{self.amount}",
            "single-positive": "single-positive",
            "labels": f"{self.amount} label" + "s" * (self.amount != 1),
        }
        return names[self.protocol]

    def __str__(self) -> str:
        """In words."""
        words = {
            "fraction": f"each known label is kept with probability {self.amount:g}, the others are hidden",
            "positive-only": f"each present label is kept with probability {self.amount:g}, all others are hidden",
            "single-positive": "one present label of each image, chosen at random, is kept, all others are hidden",
            "labels": f"{self.amount:,} of the known labels, chosen at random, are kept, the others are hidden",
        }
        return words[self.protocol]

    def keep(self, labels: Labels, seed: int) -> Keep:
        """Draw which labels are kept.

        Args:
            labels: (N, C) int8; they stay as they are.
            seed: of `numpy.random.default_rng`. The same fraction and seed keep all of what they kept before.

        Returns:
            (N, C) bool, True where the label is kept; a fraction keeps unknown labels as well.

        Raises:
            UserError: the amount is larger than the number of known labels.
        """
        present: Keep = labels == PRESENT
        if self.protocol == "fraction":
            return keep_mask(labels.shape, self.amount, seed)
        drawn, kept = (
            np.random.default_rng([seed, _STREAMS[self.protocol]]).random(labels.shape),
            np.zeros_like(present),
        )
        if self.protocol == "positive-only":
            return present & (drawn < self.amount)
        if self.protocol == "single-positive":
            kept[np.arange(len(labels)), np.where(present, drawn, 1.0).argmin(axis=1)] = True
            return kept & present
        known = np.flatnonzero(labels != UNKNOWN)
        if self.amount > len(known):
            raise UserError(f"{self.amount:,} labels are asked for, and {len(known):,} are known; ask for fewer")
        count = int(self.amount)
        kept.flat[known[np.argpartition(drawn.flat[known], count - 1)[:count]]] = True
        return kept

    def share(self, labels: Labels) -> float:
        """The expected share of all (N, C) labels, including unknown ones, that is known and kept."""
        if self.protocol == "labels":
            return self.amount / labels.size
        if self.protocol == "single-positive":
            return float((labels == PRESENT).any(axis=1).sum() / labels.size)
        seen = labels != UNKNOWN if self.protocol == "fraction" else labels == PRESENT
        return self.amount * float(seen.mean())


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
