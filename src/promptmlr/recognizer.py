"""A recognizer is two sides and the aggregation that turns their maps into pairs of logits."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from promptmlr.functional import aggregate, region_weights
from promptmlr.sides import Side

__all__ = ["Recognizer", "Weighting", "joint_logits"]

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
    """

    def __init__(
        self, presence: Side, absence: Side, class_names: Sequence[str], weighting: Weighting = "presence"
    ) -> None:
        super().__init__()
        self.presence = presence
        self.absence = absence
        self.class_names = tuple(class_names)
        self.weighting: Weighting = weighting

    def maps(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Presence and absence map, each (B, C, R), of (B, R, D) regions of any float dtype."""
        regions = regions.to(next(self.parameters()).dtype)
        return self.presence(regions), self.absence(regions)

    def forward(self, regions: Tensor) -> Tensor:
        """(B, R, D) regions → (B, 2, C) logits: index 0 absence, 1 presence."""
        return _logits(*self.maps(regions), self.weighting)

    def fold(self) -> "Recognizer":
        """The same recognizer without a text tower: prompt sides become embeddings. Logits agree to rounding."""
        return Recognizer(self.presence.fold(), self.absence.fold(), self.class_names, self.weighting)

    def learned_parameters(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())


def joint_logits(recognizers: Sequence[Recognizer], regions: Tensor) -> Tensor:
    """Logits of several recognizers with the same kinds of sides: (B, R, D) regions → (B, 2, ΣC), side by side."""
    first = recognizers[0]
    regions = regions.to(next(first.parameters()).dtype)
    presence = first.presence.joint_map([recognizer.presence for recognizer in recognizers], regions)
    absence = first.absence.joint_map([recognizer.absence for recognizer in recognizers], regions)
    return _logits(presence, absence, first.weighting)


def _logits(presence: Tensor, absence: Tensor, weighting: Weighting) -> Tensor:
    weights = region_weights(presence)
    absence_weights = weights if weighting == "presence" else region_weights(absence)
    return torch.stack([aggregate(absence, absence_weights), aggregate(presence, weights)], dim=1)
