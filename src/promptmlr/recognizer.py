"""The recognizer: two sides, and the aggregation of their maps into pairs of logits."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from promptmlr.functional import aggregate
from promptmlr.platt import PlattScaling
from promptmlr.pooling import POOLINGS
from promptmlr.sides import Side

__all__ = ["Recognizer", "Vectors", "Weighting", "joint_logits", "joint_vectors"]

Vectors = tuple[Tensor, Tensor]  # presence (ΣC, V) and absence (ΣC, V')

Weighting = Literal["presence", "own"]


class Recognizer(nn.Module):
    """Presence and absence side over the same C classes.

    Both sides are aggregated with the region weights of the presence map; only the Baseline weights each side by its
    own map (`weighting="own"`). Any pair of sides may be built by hand: a cosine side enters as S = 20 · cos, a
    linear one as it is.

    Args:
        presence: the side whose logit says "there is one".
        absence: the side whose logit says "there is none".
        class_names: C names, in the order of the sides' rows.
        weighting: whose map weights the regions.
        scaling: from margins to log odds; None keeps the paper's pair of logits.
        pooling: how a map weights regions, a name of `POOLINGS`.
    """

    def __init__(
        self,
        presence: Side,
        absence: Side,
        class_names: Sequence[str],
        weighting: Weighting = "presence",
        scaling: PlattScaling | None = None,
        pooling: str = "softmax",
    ) -> None:
        super().__init__()
        self.presence = presence
        self.absence = absence
        self.scaling = scaling
        self.class_names = tuple(class_names)
        self.weighting: Weighting = weighting
        self.pooling = pooling
        self.pair_score: tuple[float, float] | None = (
            None  # (scale, bias) of the tower's own odds, see prior/sigmoid.py
        )

    def maps(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Presence and absence map, each (B, C, R), of (B, R, D) regions of any float dtype."""
        regions = regions.to(next(self.parameters()).dtype)
        return self.presence(regions), self.absence(regions)

    def forward(self, regions: Tensor) -> Tensor:
        """(B, R, D) regions → (B, 2, C) logits: index 0 absence, 1 presence."""
        return joint_logits([self], regions, joint_vectors([self]))

    def fold(self) -> "Recognizer":
        """The same recognizer without a text tower: prompt sides become embeddings. Logits agree to rounding."""
        scaling = None if self.scaling is None else self.scaling.fold()
        sides = self.presence.fold(), self.absence.fold()
        return Recognizer(*sides, self.class_names, self.weighting, scaling, self.pooling)

    def learned_parameters(self) -> int:
        """Number of learned parameters."""
        return sum(parameter.numel() for parameter in self.parameters())


def joint_vectors(recognizers: Sequence[Recognizer]) -> Vectors:
    """Class vectors of several recognizers with the same kinds of sides, those of each side one below the other."""
    first = recognizers[0]
    presence = first.presence.joint_vectors([recognizer.presence for recognizer in recognizers])
    return presence, first.absence.joint_vectors([recognizer.absence for recognizer in recognizers])


def joint_logits(recognizers: Sequence[Recognizer], regions: Tensor, vectors: Vectors) -> Tensor:
    """Logits of several recognizers with the same kinds of sides: (B, R, D) regions → (B, 2, ΣC), side by side.

    Args:
        recognizers: all of them scaled, or none.
        regions: (B, R, D) of any float dtype.
        vectors: their `joint_vectors`.
    """
    first = recognizers[0]
    regions = regions.to(next(first.parameters()).dtype)
    presence = first.presence.joint_similarity([one.presence for one in recognizers], regions, vectors[0])
    absence = first.absence.joint_similarity([one.absence for one in recognizers], regions, vectors[1])
    weigh = POOLINGS[first.pooling].weights
    weights = weigh(presence)
    absence_weights = weights if first.weighting == "presence" else weigh(absence)
    logits = torch.stack([aggregate(absence, absence_weights), aggregate(presence, weights)], dim=1)
    scalings = [recognizer.scaling for recognizer in recognizers if recognizer.scaling is not None]
    if not scalings:
        return logits
    odds = PlattScaling.joint(scalings, logits[:, 1] - logits[:, 0])
    return torch.stack([-odds / 2, odds / 2], dim=1)
