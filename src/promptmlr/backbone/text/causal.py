"""CLIP's kind of text tower: causal, pooled at the end token; no redundant positions are encoded.

Tokens after an end token cannot change its feature, so they are not encoded. A common prefix of all prompts (the start
token, a shared context) does not depend on what follows, so it is encoded once, and every prompt attends to its keys
and values.
"""

from collections.abc import Sequence
from typing import Any

import torch
from open_clip.model import CLIP
from open_clip.transformer import ResidualAttentionBlock, TextTransformer
from torch import Tensor, nn

from promptmlr.backbone.text.tokens import Tokens
from promptmlr.backbone.text.tower import TextTower

__all__ = ["KIND", "CausalText"]


class CausalText(TextTower):
    """A text tower of open_clip's own, block by block."""

    @classmethod
    def fits(cls, model: Any, tokens: Tokens) -> bool:
        """Causal, of ordinary blocks, without a class token, and pooled at the one token that ends every text."""
        tower: Any = getattr(model, "text", model)
        if not isinstance(tower, CLIP | TextTransformer) or tower.attn_mask is None or len(tokens.end) != 1:
            return False
        plain = all(type(block) is ResidualAttentionBlock for block in tower.transformer.resblocks)
        pool, eos = (
            getattr(tower, name, None) or getattr(tower, f"text_{name}", None) for name in ("pool_type", "eos_id")
        )
        pooled_at = {"argmax": len(tower.token_embedding.weight) - 1, "eos": eos}.get(str(pool))
        return plain and bool(tokens.start) and getattr(tower, "cls_emb", None) is None and pooled_at == tokens.end[0]

    @property
    def _embedding_weight(self) -> Tensor:
        weight: Tensor = self._tower.token_embedding.weight
        return weight

    @property
    def _blocks(self) -> int:
        return len(self._tower.transformer.resblocks)

    def embed(self, tokens: Tensor | Sequence[int]) -> Tensor:
        """(…) token ids → (…, W) embeddings in the tower's dtype, before the positional embedding."""
        weight = self._tower.token_embedding.weight
        embeddings: Tensor = weight[torch.as_tensor(tokens, dtype=torch.int64, device=weight.device)].detach()
        return embeddings

    def prefix(self, embeddings: Tensor) -> Tensor:
        """Keys and values of the common prefix of all prompts in every block, for `encode`.

        Args:
            embeddings: (P, W) of any float dtype, before the positional embedding; gradients reach it.

        Returns:
            (blocks, 2, 1, heads, P, W / heads) in the tower's dtype.
        """
        x = self._positioned(embeddings[None], 0)
        hidden = self._hidden(len(embeddings))
        found = []
        for block in self._tower.transformer.resblocks:
            found.append(_keys_values(block, x))
            x = _attend(block, x, found[-1][..., :0, :], found[-1], hidden)
        return torch.stack(found)

    def encode(self, embeddings: Tensor, ends: Tensor, prefix: Tensor) -> Tensor:
        """Text features of embedded prompts; gradients reach embeddings and prefix, never the weights.

        Args:
            embeddings: (N, L, W) of any float dtype, before the positional embedding: the tokens after the prefix, up
                to the longest end token.
            ends: (N,) int64, position in L of each end token.
            prefix: keys and values from `prefix`.

        Returns:
            (N, D) in the tower's dtype, not normalised.
        """
        tower = self._tower
        x = self._positioned(embeddings, prefix.shape[-2])
        hidden = self._hidden(embeddings.shape[1])
        *blocks, last = tower.transformer.resblocks
        for block, before in zip(blocks, prefix, strict=False):
            x = _attend(block, x, before, _keys_values(block, x), hidden)
        # The last block is computed at the end tokens only.
        at_ends = x[torch.arange(len(x), device=x.device), ends][:, None]
        x = _attend(last, at_ends, prefix[-1], _keys_values(last, x), hidden[ends][:, None, None])
        x = tower.ln_final(x[:, 0])
        projection = tower.text_projection
        if projection is None:
            features: Tensor = x
        else:
            features = projection(x) if isinstance(projection, nn.Linear) else x @ projection
        return features

    def _encode_rows(self, rows: Sequence[Sequence[int]]) -> Tensor:
        ended = [torch.tensor([*row, *self.end_tokens]) for row in rows]
        embeddings = self.embed(nn.utils.rnn.pad_sequence(ended, batch_first=True))
        ends = torch.tensor([len(row) - 1 for row in ended], device=embeddings.device)
        return self.encode(embeddings, ends, self.prefix(self.embed(self.start_tokens)))

    def _positioned(self, embeddings: Tensor, first: int) -> Tensor:
        positions: Tensor = self._tower.positional_embedding[first : first + embeddings.shape[1]]
        return embeddings.to(positions.dtype) + positions

    def _hidden(self, length: int) -> Tensor:
        """(L, L) bool causal mask: True where a position must not attend."""
        return torch.ones(length, length, dtype=torch.bool, device=self._tower.positional_embedding.device).triu(1)


def _keys_values(block: ResidualAttentionBlock, x: Tensor) -> Tensor:
    """(N, L, W) inputs of a block → its keys and values, (2, N, heads, L, W / heads)."""
    attention = block.attn
    weight, bias = attention.in_proj_weight[x.shape[-1] :], attention.in_proj_bias[x.shape[-1] :]
    both: Tensor = nn.functional.linear(block.ln_1(x), weight, bias).unflatten(-1, (2, attention.num_heads, -1))
    return both.permute(2, 0, 3, 1, 4)


def _attend(block: ResidualAttentionBlock, x: Tensor, prefix: Tensor, own: Tensor, hidden: Tensor) -> Tensor:
    """A block's output at positions that attend to the full prefix and to their own prompt.

    The prefix is the same for all prompts, so one product with their queries replaces copies for each prompt.

    Args:
        block: of the tower.
        x: (N, Q, W), the block's input at those positions.
        prefix: (2, 1, heads, P, W / heads) keys and values before all prompts.
        own: (2, N, heads, L, W / heads) keys and values of the prompts.
        hidden: mask of their own prompt's positions, broadcastable to (N, heads, Q, L); True must not be attended to.
    """
    attention, width, (count, asked, _) = block.attn, x.shape[-1], x.shape
    queries = nn.functional.linear(block.ln_1(x), attention.in_proj_weight[:width], attention.in_proj_bias[:width])
    queries = queries.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
    # float32: in bfloat16 its backward pass takes a quarter of the time on a CPU, and sums are less accurate.
    exact = torch.promote_types(x.dtype, torch.float32)
    queries = queries.to(exact) * queries.shape[-1] ** -0.5
    (keys, values), (prefix_keys, prefix_values) = own.to(exact), prefix[:, 0].to(exact)

    def with_prefix(rows: Tensor, columns: Tensor) -> Tensor:
        """(N, heads, Q, ·) @ (heads, ·, ·), one product per head."""
        product = rows.transpose(0, 1).flatten(1, 2) @ columns
        apart: Tensor = product.unflatten(1, (count, asked)).transpose(0, 1)
        return apart

    to_prefix = with_prefix(queries, prefix_keys.transpose(1, 2))
    to_own = (queries @ keys.transpose(2, 3)).masked_fill(hidden, -torch.inf)
    weights = torch.cat([to_prefix, to_own], dim=-1).softmax(dim=-1)
    of_prefix, of_own = weights.split([to_prefix.shape[-1], to_own.shape[-1]], dim=-1)
    mixed = of_own @ values + with_prefix(of_prefix, prefix_values)
    x = x + block.ls_1(attention.out_proj(mixed.transpose(1, 2).flatten(2).to(x.dtype)))
    result: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return result


KIND = CausalText
