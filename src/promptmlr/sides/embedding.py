"""The embedding side: one learned vector per class, directly in CLIP's feature space; no text tower in training."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from promptmlr.functional import cosine_map
from promptmlr.sides.base import Side, seeded_generator
from promptmlr.sides.beginning import Beginning

__all__ = ["EmbeddingSide"]


class EmbeddingSide(Side):
    """PositiveCoOp's absence side, NegativeCoOp's presence side, and what every prompt side folds to.

    Args:
        vectors: (C, D) float, where the learned vectors start.
    """

    rates: ClassVar = {"embedding": "embedding_rate"}
    needs = "has_class_features"
    by_rows = True

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.embedding = nn.Parameter(vectors.detach().clone())

    @classmethod
    def begin(cls, at: Beginning) -> "EmbeddingSide":
        """From text features, or at random."""
        features = at.features()
        if features is None:
            return cls.random(len(at.class_names), at.feature_width, at.seed, at.name)
        return cls.from_features(features)

    @classmethod
    def random(cls, classes: int, width: int, seed: int, name: str = "embedding") -> "EmbeddingSide":
        """Start as released: standard normal, so of length about √D (`txt_prompt_neg` in models/positivecoop.py)."""
        return cls(torch.randn(classes, width, generator=seeded_generator(seed, name)))

    @classmethod
    def from_features(cls, features: Tensor) -> "EmbeddingSide":
        """Start in the direction of (C, D) text features, at length √D: rates then fit every start and width."""
        directions = nn.functional.normalize(features.detach().float(), dim=-1)
        return cls(directions * math.sqrt(features.shape[-1]))

    @staticmethod
    def shapes(classes: int, width: int) -> dict[str, tuple[int | None, ...]]:
        """The vectors (C, D)."""
        return {"embedding": (classes, width)}

    def class_vectors(self) -> Tensor:
        """(C, D) the learned vectors."""
        return self.embedding

    @staticmethod
    def similarity(regions: Tensor, vectors: Tensor) -> Tensor:
        """(B, R, D), (C, D) → (B, C, R), S = 20 · cos."""
        return cosine_map(regions, vectors)
