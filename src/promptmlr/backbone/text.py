"""CLIP's text tower, frozen: tokens → embeddings → text features, encoded only up to the longest end token."""

from collections.abc import Sequence
from typing import Any

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

from promptmlr.errors import UserError

__all__ = ["TextTower"]


class TextTower:
    """The text half of an open_clip model. No module of its own: whoever holds it does not own its weights.

    Args:
        model: an open_clip model, or the text tower inside it, with frozen weights; causal, pooled at the end token.
        tokenizer: CLIP's byte-pair encoding.
    """

    def __init__(self, model: Any, tokenizer: SimpleTokenizer) -> None:
        self._tower: Any = getattr(model, "text", model)
        self._tokenizer = tokenizer
        self.context_length = int(self._tower.positional_embedding.shape[0])
        self.width = int(self._tower.ln_final.weight.shape[0])

    @property
    def feature_width(self) -> int:
        """D, the width of the space shared with images."""
        projection = self._tower.text_projection
        if projection is None:
            return self.width
        return int(projection.out_features if isinstance(projection, nn.Linear) else projection.shape[1])

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without start and end token."""
        tokens: list[int] = self._tokenizer.encode(text)
        return tokens

    def embed(self, tokens: Sequence[int]) -> Tensor:
        """(L + 2, W) embeddings of [start] + L tokens + [end]."""
        ids = [self._tokenizer.sot_token_id, *tokens, self._tokenizer.eot_token_id]
        with torch.no_grad():
            embeddings: Tensor = self._tower.token_embedding.weight[ids]
        return embeddings

    def encode(self, embeddings: Tensor, ends: Tensor) -> Tensor:
        """Text features of embedded prompts; gradients reach the embeddings, never the weights.

        The tower is causal, so what stands behind an end token cannot change its feature: give only the L positions
        up to the longest end token (about 21 of 77), and only those are computed.

        Args:
            embeddings: (N, L, W) of any float dtype, before the positional embedding.
            ends: (N,) int64, position of each end token.

        Returns:
            (N, D) in the tower's dtype, not normalised.
        """
        tower = self._tower
        length = embeddings.shape[1]
        x = embeddings.to(tower.positional_embedding.dtype) + tower.positional_embedding[:length]
        x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
        x = tower.ln_final(x[torch.arange(len(x), device=x.device), ends])
        projection = tower.text_projection
        if projection is None:
            features: Tensor = x
        else:
            features = projection(x) if isinstance(projection, nn.Linear) else x @ projection
        return features

    def encode_texts(self, texts: Sequence[str], batch_size: int = 256) -> Tensor:
        """(N, D) features of N sentences, as CLIP's `encode_text`; not normalised.

        Raises:
            UserError: a sentence does not fit the context.
        """
        features = []
        for begin in range(0, len(texts), batch_size):
            rows = [self.embed(self.tokenize(text)) for text in texts[begin : begin + batch_size]]
            for text, row in zip(texts[begin:], rows, strict=False):
                if len(row) > self.context_length:
                    raise UserError(
                        f"the text {text!r} takes {len(row)} of {self.context_length} positions; shorten it"
                    )
            ends = torch.tensor([len(row) - 1 for row in rows], device=rows[0].device)
            with torch.no_grad():
                features.append(self.encode(nn.utils.rnn.pad_sequence(rows, batch_first=True), ends))
        return torch.cat(features)
