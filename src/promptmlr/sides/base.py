"""The interface of every kind of side: a similarity map per class, its start, and a form without a text tower."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from promptmlr.sides.beginning import Beginning

__all__ = ["Side", "seeded_generator"]


class Side(nn.Module, ABC):
    """One side (presence or absence) of a recognizer over C classes. Its parameters are the learned tensors.

    A kind that is kept in run folders is made from its tensors: `kind(*side.state_dict().values())` is a copy.

    Attributes:
        rates: name of a learned tensor (up to its first dot) → the recipe's rate for it.
        needs: the property of `Backbone` that it requires, by name; None if every backbone will do.
        by_rows: whether a map depends on the rows of `class_vectors` only, so that several sides are one product.
    """

    rates: ClassVar[Mapping[str, str]]
    needs: ClassVar[Literal["has_class_features", "has_text_tower"] | None] = None
    by_rows: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def begin(cls, at: Beginning) -> Self:
        """A side at its start."""

    @staticmethod
    def shapes(classes: int, width: int) -> dict[str, tuple[int | None, ...]]:  # noqa: ARG004
        """Tensor → shape of a folded side, None for a free size; {} if it folds to another kind."""
        return {}

    @abstractmethod
    def class_vectors(self) -> Tensor:
        """(C, V) the learned vectors, a row per class, around whose start a prior can be put."""

    @abstractmethod
    def similarity(self, regions: Tensor, vectors: Tensor) -> Tensor:
        """Similarity map of (B, R, D) regions with (C, V) class vectors: (B, C, R)."""

    def forward(self, regions: Tensor) -> Tensor:
        """Similarity map: (B, R, D) regions → (B, C, R)."""
        return self.similarity(regions, self.class_vectors())

    @classmethod
    def joint_vectors(cls, sides: Sequence[Self]) -> Tensor:
        """(ΣC, V) class vectors of several sides, one below the other.

        A kind of side that gains by making its vectors together overrides this.
        """
        return torch.cat([side.class_vectors() for side in sides])

    @classmethod
    def joint_similarity(cls, sides: Sequence[Self], regions: Tensor, vectors: Tensor) -> Tensor:
        """(B, ΣC, R) maps of several sides, side by side; `vectors` are their `joint_vectors`.

        Classes are independent, so if maps depend on rows only, one product gives the maps of all sides.
        """
        if cls.by_rows or len(sides) == 1:
            return sides[0].similarity(regions, vectors)
        return torch.cat([side(regions) for side in sides], dim=1)

    def fold(self) -> "Side":
        """A detached copy that computes the same maps without a text tower."""
        return type(self)(*self.state_dict().values())


def seeded_generator(seed: int, name: str) -> torch.Generator:
    """A CPU generator for the tensor `name`, so that starts depend neither on other draws nor on the device."""
    # torch's CPU generator reads no more than the low 32 bits of its seed.
    return torch.Generator().manual_seed(zlib.crc32(f"{name} {seed}".encode()))
