"""CLIP's text tower, frozen: tokens → embeddings → text features, no position computed twice or for nothing.

The tower is causal. So what stands behind an end token cannot change its feature, and is not encoded; and what stands
before all prompts alike (the start token, a shared context) does not depend on what follows: it goes through once, and
every prompt attends to its keys and values.
"""

from collections.abc import Sequence
from typing import Any

import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import ResidualAttentionBlock
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
        self.start_token: int = tokenizer.sot_token_id
        self.end_token: int = tokenizer.eot_token_id
        self.context_length = int(self._tower.positional_embedding.shape[0])
        self.width = int(self._tower.ln_final.weight.shape[0])

    @property
    def feature_width(self) -> int:
        """D, the width of the space shared with images."""
        projection = self._tower.text_projection
        if projection is None:
            return self.width
        return int(projection.out_features if isinstance(projection, nn.Linear) else projection.shape[1])

    @property
    def activation_bytes(self) -> int:
        """About what a backward pass keeps of one position of one prompt."""
        widths_per_block = 17  # measured: 10 to 17, by activation and dtype; weights take no gradients
        size = self._tower.positional_embedding.element_size()
        return int(widths_per_block * len(self._tower.transformer.resblocks) * self.width * size)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        dtype: torch.dtype = self._tower.positional_embedding.dtype
        return dtype

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without start and end token."""
        tokens: list[int] = self._tokenizer.encode(text)
        return tokens

    def embed(self, tokens: Tensor | Sequence[int]) -> Tensor:
        """(…) token ids → (…, W) embeddings in the tower's dtype, before the positional embedding."""
        weight = self._tower.token_embedding.weight
        embeddings: Tensor = weight[torch.as_tensor(tokens, dtype=torch.int64, device=weight.device)].detach()
        return embeddings

    def prefix(self, embeddings: Tensor) -> Tensor:
        """What stands before all prompts alike: its keys and values in every block, for `encode`.

        Args:
            embeddings: (P, W) of any float dtype, before the positional embedding; gradients reach it.

        Returns:
            (blocks, 2, 1, heads, P, W / heads) in the tower's dtype.
        """
        x = self._positioned(embeddings[None], 0)
        mask = self._mask(0, len(embeddings))
        found = []
        for block in self._tower.transformer.resblocks:
            found.append(_keys_values(block, x))
            x = _attend(block, x, found[-1], mask)
        return torch.stack(found)

    def encode(self, embeddings: Tensor, ends: Tensor, prefix: Tensor) -> Tensor:
        """Text features of embedded prompts; gradients reach embeddings and prefix, never the weights.

        Args:
            embeddings: (N, L, W) of any float dtype, before the positional embedding: what follows the prefix, up to
                the longest end token.
            ends: (N,) int64, position in L of each end token.
            prefix: what stands before, from `prefix`.

        Returns:
            (N, D) in the tower's dtype, not normalised.
        """
        tower, before = self._tower, prefix.shape[-2]
        x = self._positioned(embeddings, before)
        mask = self._mask(before, embeddings.shape[1])
        *blocks, last = tower.transformer.resblocks
        for block, known in zip(blocks, prefix, strict=False):
            x = _attend(block, x, _behind(known, _keys_values(block, x)), mask)
        # Of the last block only the end tokens' outputs are read.
        at_ends = x[torch.arange(len(x), device=x.device), ends][:, None]
        x = _attend(last, at_ends, _behind(prefix[-1], _keys_values(last, x)), mask[ends][:, None, None])
        x = tower.ln_final(x[:, 0])
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
        rows = [[*self.tokenize(text), self.end_token] for text in texts]
        for text, row in zip(texts, rows, strict=True):
            if len(row) + 1 > self.context_length:
                raise UserError(
                    f"the text {text!r} takes {len(row) + 1} of {self.context_length} positions; shorten it"
                )
        features = []
        with torch.no_grad():
            start = self.prefix(self.embed([self.start_token]))
            for begin in range(0, len(rows), batch_size):
                batch = rows[begin : begin + batch_size]
                tokens = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in batch], batch_first=True)
                embeddings = self.embed(tokens)
                ends = torch.tensor([len(row) - 1 for row in batch], device=embeddings.device)
                features.append(self.encode(embeddings, ends, start))
        return torch.cat(features)

    def _positioned(self, embeddings: Tensor, first: int) -> Tensor:
        positions: Tensor = self._tower.positional_embedding[first : first + embeddings.shape[1]]
        return embeddings.to(positions.dtype) + positions

    def _mask(self, before: int, length: int) -> Tensor:
        """(L, before + L) bool: which positions each of L positions behind a prefix may look at."""
        device = self._tower.positional_embedding.device
        return torch.ones(length, before + length, dtype=torch.bool, device=device).tril(before)


def _keys_values(block: ResidualAttentionBlock, x: Tensor) -> Tensor:
    """(N, L, W) inputs of a block → its keys and values, (2, N, heads, L, W / heads)."""
    attention = block.attn
    weight, bias = attention.in_proj_weight[x.shape[-1] :], attention.in_proj_bias[x.shape[-1] :]
    both: Tensor = nn.functional.linear(block.ln_1(x), weight, bias).unflatten(-1, (2, attention.num_heads, -1))
    return both.permute(2, 0, 3, 1, 4)


def _behind(prefix: Tensor, own: Tensor) -> Tensor:
    """The N prompts' own keys and values behind those of their common prefix."""
    return torch.cat([prefix.expand(-1, own.shape[1], -1, -1, -1), own], dim=3)


def _attend(block: ResidualAttentionBlock, x: Tensor, keys_values: Tensor, mask: Tensor) -> Tensor:
    """A block's output at the positions x (N, Q, W), which look at keys and values where the mask allows."""
    attention, width = block.attn, x.shape[-1]
    queries = nn.functional.linear(block.ln_1(x), attention.in_proj_weight[:width], attention.in_proj_bias[:width])
    queries = queries.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
    # In bfloat16 the backward pass of this alone takes a quarter of a CPU's time; and sums are better in float32.
    exact = torch.promote_types(x.dtype, torch.float32)
    keys, values = keys_values.to(exact)
    mixed = nn.functional.scaled_dot_product_attention(queries.to(exact), keys, values, attn_mask=mask)
    x = x + block.ls_1(attention.out_proj(mixed.transpose(1, 2).flatten(2).to(x.dtype)))
    result: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return result
