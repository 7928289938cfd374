"""Which labels a learner may see: protocols that hide the others."""

import re
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from promptmlr.errors import UserError
from promptmlr.labels.codes import PRESENT, UNKNOWN, Keep, Labels, keep_mask
from promptmlr.labels.patterns import PATTERNS, Sizes, Truth, propensities
from promptmlr.options import HidingOptions

__all__ = ["Observation"]

# Of random numbers, beside that of fractions.
_STREAMS = {
    name: number for number, name in enumerate(("labels", "positive-only", "single-positive", *PATTERNS), start=1)
}


@dataclass(frozen=True)
class Observation:
    """A protocol that hides some of the known labels from the learner.

    One random number per label, drawn by seed and protocol, decides, so that a larger amount keeps all labels of a
    smaller one. Different protocols with one seed are independent, so that one can be applied after another.

    Attributes:
        protocol: "fraction" keeps each label with a probability, the usual way to make labels partial; "positive-only"
            keeps each present one with a probability, and no absent one; "single-positive" keeps one present label of
            each image, chosen at random (Cole and others, "Multi-Label Learning from Single Positive Labels", CVPR
            2021); "labels" keeps a number of the known ones; a name of `PATTERNS` keeps a share of the known ones that
            is not chosen at random, but as people would.
        amount: that probability, in (0, 1], that number, or that share, in (0, 1); 1 for "single-positive".

    Raises:
        UserError: on construction, if the amount is invalid.
    """

    protocol: str = "fraction"
    amount: float = 1.0

    def __post_init__(self) -> None:
        if self.protocol in PATTERNS:
            if not 0 < self.amount < 1:
                raise UserError(
                    f"{self.protocol}:{self.amount} is outside (0, 1); {self.protocol}:0.1 keeps a tenth of the labels"
                )
        elif self.protocol == "labels":
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
            name, colon, share = text.partition(":")
            if name in PATTERNS and colon:
                return cls(name, float(share))
            if name in PATTERNS and (usual := PATTERNS[name].share) is not None:
                return cls(name, usual)
            return cls("fraction", float(text))
        except ValueError:
            raise UserError(
                f"{text!r} is no way to hide labels; write a fraction such as 0.1, single-positive, positive-only:0.3, "
                f"'400 labels' or how people would label: {_examples()}"
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
        """Its name in options and files: "0.1", "positive-only:0.3", "single-positive", "400 labels", "federated"."""
        names = {
            "fraction": f"{self.amount}",
            "positive-only": f"positive-only:{self.amount}",
            "single-positive": "single-positive",
            "labels": f"{self.amount} label" + "s" * (self.amount != 1),
        }
        if self.protocol in PATTERNS:
            usual = self.amount == PATTERNS[self.protocol].share
            return self.protocol if usual else f"{self.protocol}:{self.amount}"
        return names[self.protocol]

    def __str__(self) -> str:
        """In words."""
        words = {
            "fraction": f"each known label is kept with probability {self.amount:g}, the others are hidden",
            "positive-only": f"each present label is kept with probability {self.amount:g}, all others are hidden",
            "single-positive": "one present label of each image, chosen at random, is kept, all others are hidden",
            "labels": f"{self.amount:,} of the known labels, chosen at random, are kept, the others are hidden",
        }
        if self.protocol in PATTERNS:
            return f"{100 * self.amount:.3g} % of the known labels are kept ({PATTERNS[self.protocol].summary})"
        return words[self.protocol]

    @property
    def needs_sizes(self) -> bool:
        """Whether the sizes of objects decide."""
        return self.protocol in PATTERNS and PATTERNS[self.protocol].needs_sizes

    def keep(self, labels: Labels, seed: int, sizes: Sizes | None = None) -> Keep:
        """Draw which labels are kept.

        Args:
            labels: (N, C) int8; they stay as they are.
            seed: of `numpy.random.default_rng`. The same fraction and seed keep all of what they kept before.
            sizes: (N, C) share of the image that the largest object of a class covers, where `needs_sizes`.

        Returns:
            (N, C) bool, True where the label is kept; a fraction keeps unknown labels as well.

        Raises:
            UserError: the amount is larger than the number of known labels, or the share than what people ever label.
        """
        present: Keep = labels == PRESENT
        if self.protocol == "fraction":
            return keep_mask(labels.shape, self.amount, seed)
        drawn, kept = (
            np.random.default_rng([seed, _STREAMS[self.protocol]]).random(labels.shape),
            np.zeros_like(present),
        )
        if self.protocol in PATTERNS:
            return self._kept_by_people(Truth(labels, sizes), drawn, seed)
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
        if self.protocol in PATTERNS:
            return self.amount * float((labels != UNKNOWN).mean())
        if self.protocol == "labels":
            return self.amount / labels.size
        if self.protocol == "single-positive":
            return float((labels == PRESENT).any(axis=1).sum() / labels.size)
        seen = labels != UNKNOWN if self.protocol == "fraction" else labels == PRESENT
        return self.amount * float(seen.mean())

    def _kept_by_people(self, truth: Truth, drawn: NDArray[np.float64], seed: int) -> Keep:
        """(N, C) bool by a pattern; what differs between classes and people follows from the seed as well."""
        rates = PATTERNS[self.protocol].rates(truth, np.random.default_rng([seed, _STREAMS[self.protocol], 1]))
        try:
            kept: Keep = drawn < propensities(rates, truth.known, self.amount)
        except UserError as error:
            raise UserError(f"{self.name}: {error}") from None
        return kept


def _examples() -> str:
    return ", ".join(name if one.share is not None else f"{name}:0.1" for name, one in PATTERNS.items())
