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
    def class_vectors(self) -> Tensor:
        """(C, V) what is compared with the regions of an image: a row per class."""

    @staticmethod
    @abstractmethod
    def similarity(regions: Tensor, vectors: Tensor) -> Tensor:
        """Similarity map of (B, R, D) regions with (C, V) class vectors: (B, C, R)."""

    def forward(self, regions: Tensor) -> Tensor:
        """Similarity map: (B, R, D) regions → (B, C, R)."""
        return self.similarity(regions, self.class_vectors())

    @classmethod
    def joint_vectors(cls, sides: Sequence[Self]) -> Tensor:
        """(ΣC, V) class vectors of several sides, one below the other.

        Classes do not talk to each other, so one product gives the maps of all; a kind of side that gains by making its
        vectors together overrides this.
        """
        return torch.cat([side.class_vectors() for side in sides])

    @abstractmethod
    def fold(self) -> "Side":
        """A detached copy that computes the same maps without a text tower."""


def seeded_generator(seed: int, name: str) -> torch.Generator:
    """A CPU generator for the tensor called `name`: starts do not depend on what else is drawn, or on the device."""
    # torch's CPU generator reads no more than the low 32 bits of its seed.
    return torch.Generator().manual_seed(zlib.crc32(f"{name} {seed}".encode()))
