"""What a frozen text tower does, whatever its kind."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from promptmlr.backbone.text.tokens import Tokens
from promptmlr.errors import UserError

__all__ = ["TextTower"]

WIDTHS_PER_BLOCK = 17  # measured: 10 to 17, by activation and dtype; weights take no gradients


class TextTower(ABC):
    """The text half of an open_clip model. No module of its own: whoever holds it does not own its weights.

    Args:
        model: an open_clip model, or the text tower inside it, with frozen weights.
        tokens: its tokenizer.
    """

    def __init__(self, model: Any, tokens: Tokens) -> None:
        self._tower: Any = getattr(model, "text", model)
        self._tokens = tokens
        self.start_tokens = tokens.start
        self.end_tokens = tokens.end
        self.context_length = tokens.context_length
        self.width = int(self._embedding_weight.shape[1])

    @classmethod
    @abstractmethod
    def fits(cls, model: Any, tokens: Tokens) -> bool:
        """Whether this kind encodes texts exactly as the model does."""

    @property
    @abstractmethod
    def _embedding_weight(self) -> Tensor:
        """(V, W) the token table."""

    @property
    @abstractmethod
    def _blocks(self) -> int:
        """How many blocks there are."""

    @property
    def feature_width(self) -> int:
        """D, the width of the space shared with images."""
        projection = getattr(self._tower, "text_projection", None)
        if projection is None:
            return int(getattr(self._tower, "output_dim", self.width))
        return int(projection.out_features if isinstance(projection, nn.Linear) else projection.shape[1])

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self._embedding_weight.dtype

    def activation_bytes(self, positions: int) -> int:
        """About what a backward pass keeps of one prompt that takes so many positions."""
        return WIDTHS_PER_BLOCK * self._blocks * self.width * self._embedding_weight.element_size() * positions

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without what stands before and behind all texts."""
        return self._tokens.encode(text)

    @abstractmethod
    def embed(self, tokens: Tensor | Sequence[int]) -> Tensor:
        """(…) token ids → (…, W) embeddings in the tower's dtype, before the positional embedding."""

    @abstractmethod
    def prefix(self, embeddings: Tensor) -> Tensor:
        """What stands before all prompts alike, (P, W) embeddings, as `encode` takes it; gradients reach it."""

    @abstractmethod
    def encode(self, embeddings: Tensor, ends: Tensor, prefix: Tensor) -> Tensor:
        """Text features of embedded prompts; gradients reach embeddings and prefix, never the weights.

        Args:
            embeddings: (N, L, W) of any float dtype, before the positional embedding: what follows the prefix, up to
                the end of the longest.
            ends: (N,) int64, position in L of the last token of each.
            prefix: what stands before, from `prefix`.

        Returns:
            (N, D) in the tower's dtype, not normalised.
        """

    @abstractmethod
    def _encode_rows(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """(N, D) features of N texts, each the ids of the text alone."""

    def encode_texts(self, texts: Sequence[str], batch_size: int = 256) -> Tensor:
        """(N, D) features of N sentences, as CLIP's `encode_text`; not normalised.

        Raises:
            UserError: a sentence does not fit the context.
        """
        rows = [self.tokenize(text) for text in texts]
        around = len(self.start_tokens) + len(self.end_tokens)
        for text, row in zip(texts, rows, strict=True):
            if len(row) + around > self.context_length:
                raise UserError(
                    f"the text {text!r} takes {len(row) + around} of {self.context_length} positions; shorten it"
                )
        with torch.no_grad():
            batches = [rows[begin : begin + batch_size] for begin in range(0, len(rows), batch_size)]
            return torch.cat([self._encode_rows(batch) for batch in batches])
