"""The linear side: a linear layer on regions as they are; the vision-only Baseline has two of them."""

import torch
from torch import Tensor, nn

from promptmlr.functional import linear_map
from promptmlr.sides.base import Side, seeded_generator

__all__ = ["LinearSide"]


class LinearSide(Side):
    """C linear detectors on un-normalised regions (`linear_layer` in the released models/baseline.py).

    Args:
        weight: (C, D) float.
        bias: (C,) float.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.projector = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device, dtype=weight.dtype)
        with torch.no_grad():
            self.projector.weight.copy_(weight)
            self.projector.bias.copy_(bias)

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

    def class_vectors(self) -> Tensor:
        """(C, D + 1) weights, and the bias behind them."""
        return torch.cat([self.projector.weight, self.projector.bias[:, None]], dim=1)

    @staticmethod
    def similarity(regions: Tensor, vectors: Tensor) -> Tensor:
        """(B, R, D), (C, D + 1) → (B, C, R), unbounded."""
        return linear_map(regions, vectors[:, :-1], vectors[:, -1])

    def fold(self) -> "LinearSide":
        """A detached copy of itself."""
        return LinearSide(self.projector.weight.detach(), self.projector.bias.detach())
