"""What every side offers: one similarity map per class, and a form that no longer needs a text tower."""

import zlib
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

__all__ = ["Side", "seeded_generator"]


class Side(nn.Module, ABC):
    """One side (presence or absence) of a recognizer over C classes. Its parameters are the learned tensors."""

    @abstractmethod
    def forward(self, regions: Tensor) -> Tensor:
        """Similarity map: (B, R, D) regions → (B, C, R)."""

    @abstractmethod
    def fold(self) -> "Side":
        """A detached copy that computes the same maps without a text tower."""


def seeded_generator(seed: int, name: str) -> torch.Generator:
    """A CPU generator for the tensor called `name`: starts do not depend on what else is drawn, or on the device."""
    # torch's CPU generator reads no more than the low 32 bits of its seed.
    return torch.Generator().manual_seed(zlib.crc32(f"{name} {seed}".encode()))
