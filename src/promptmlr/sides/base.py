"""What every side offers: one similarity map per class, and a form that no longer needs a text tower."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

__all__ = ["Side", "seeded_generator"]


class Side(nn.Module, ABC):
    """One side (presence or absence) of a recognizer over C classes. Its parameters are the learned tensors."""

    @abstractmethod
    def forward(self, regions: Tensor) -> Tensor:
        """Similarity map: (B, R, D) regions → (B, C, R)."""

    @classmethod
    def joint_map(cls, sides: Sequence[Self], regions: Tensor) -> Tensor:
        """Maps of several sides with their classes side by side: (B, R, D) → (B, ΣC, R).

        Classes do not talk to each other, so columns may be computed together; a kind of side that gains by one
        product over all of them overrides this.
        """
        return torch.cat([side(regions) for side in sides], dim=1)

    @abstractmethod
    def fold(self) -> "Side":
        """A detached copy that computes the same maps without a text tower."""


def seeded_generator(seed: int, name: str) -> torch.Generator:
    """A CPU generator for the tensor called `name`: starts do not depend on what else is drawn, or on the device."""
    # torch's CPU generator reads no more than the low 32 bits of its seed.
    return torch.Generator().manual_seed(zlib.crc32(f"{name} {seed}".encode()))
