"""The linear side: a linear layer on regions as they are; the vision-only Baseline has two of them."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from promptmlr.functional import linear_map
from promptmlr.sides.base import Side, seeded_generator
from promptmlr.sides.beginning import Beginning

__all__ = ["LinearSide"]


class LinearSide(Side):
    """C linear detectors on un-normalised regions (`linear_layer` in the released models/baseline.py).

    Args:
        weight: (C, D) float.
        bias: (C,) float.
    """

    rates: ClassVar = {"projector": "linear_rate"}
    by_rows = True

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.projector = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device, dtype=weight.dtype)
        with torch.no_grad():
            self.projector.weight.copy_(weight)
            self.projector.bias.copy_(bias)

    @classmethod
    def begin(cls, at: Beginning) -> "LinearSide":
        """Zero or random, as the recipe says."""
        if at.linear_start == "zero":
            return cls.zero(len(at.class_names), at.feature_width)
        return cls.random(len(at.class_names), at.feature_width, at.seed, at.name)

    @classmethod
    def random(cls, classes: int, width: int, seed: int, name: str = "projector") -> "LinearSide":
        """Start as torch's linear layer, and so as released: uniform within ±1/√D."""
        generator = seeded_generator(seed, name)
        bound = width**-0.5
        weight = torch.empty(classes, width).uniform_(-bound, bound, generator=generator)
        bias = torch.empty(classes).uniform_(-bound, bound, generator=generator)
        return cls(weight, bias)

    @classmethod
    def zero(cls, classes: int, width: int) -> "LinearSide":
        """Start at a margin of zero: regions are not normalised, and where they are long random weights saturate."""
        return cls(torch.zeros(classes, width), torch.zeros(classes))

    @staticmethod
    def shapes(classes: int, width: int) -> dict[str, tuple[int | None, ...]]:
        """A weight (C, D) and a bias (C,)."""
        return {"projector.weight": (classes, width), "projector.bias": (classes,)}

    def class_vectors(self) -> Tensor:
        """(C, D + 1) weights, and the bias behind them."""
        return torch.cat([self.projector.weight, self.projector.bias[:, None]], dim=1)

    @staticmethod
    def similarity(regions: Tensor, vectors: Tensor) -> Tensor:
        """(B, R, D), (C, D + 1) → (B, C, R), unbounded."""
        return linear_map(regions, vectors[:, :-1], vectors[:, -1])
