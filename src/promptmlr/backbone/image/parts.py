"""A transformer's block in parts: its heads, the projection behind them, its feed-forward network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from open_clip.transformer import ResidualAttentionBlock
from timm.layers.attention import Attention
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from timm.models.eva import EvaAttention, EvaBlock
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn.functional import linear

if TYPE_CHECKING:
    from promptmlr.backbone.image.ways.way import BeforeLast

__all__ = ["BlockParts", "has_parts", "parts_of", "self_weights"]


@dataclass(frozen=True)
class BlockParts:
    """The parts of a block whose output is x + a, then y + f(y), for y = x + a.

    Attributes:
        heads: (B, L, W) → queries, keys and values, (B, heads, L, d) each, as attention compares them.
        project: (B, heads, L, d) mixed values → (B, L, W), a.
        feed_forward: (B, L, W) y → (B, L, W), f(y).
    """

    heads: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
    project: Callable[[Tensor], Tensor]
    feed_forward: Callable[[Tensor], Tensor]


def has_parts(block: nn.Module) -> bool:
    """Whether `parts_of` knows blocks of this class."""
    return _reader(block) is not None


def parts_of(before: "BeforeLast") -> BlockParts:
    """The parts of the block; it must have some (`has_parts`)."""
    reader = _reader(before.block)
    assert reader is not None
    return reader(before)


def self_weights(one: Tensor) -> Tensor:
    """softmax(x·xᵀ/√d) of (B, heads, L, d), over the last dimension of (B, heads, L, L)."""
    scale = float(one.shape[-1]) ** -0.5
    weights: Tensor = (one @ one.transpose(-2, -1) * scale).softmax(dim=-1)
    return weights


def _reader(block: nn.Module) -> "Callable[[BeforeLast], BlockParts] | None":
    if type(block) is ResidualAttentionBlock and not hasattr(block, "ln_1_kv"):
        return _open_clips
    attention: Any = getattr(block, "attn", None)
    if getattr(attention, "gate", None) is not None:
        return None
    if type(block) is Block and type(attention) is Attention:
        return _timms
    return _evas if type(block) is EvaBlock and type(attention) is EvaAttention else None


def _open_clips(before: "BeforeLast") -> BlockParts:
    block = before.block
    attention = block.attn

    def heads(tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
        return _in_heads(found, attention.num_heads)

    return BlockParts(
        heads,
        lambda mixed: block.ls_1(attention.out_proj(_joined(mixed))),
        lambda tokens: block.ls_2(block.mlp(block.ln_2(tokens))),
    )


def _timms(before: "BeforeLast") -> BlockParts:
    block = before.block
    attention = block.attn

    def heads(tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = _in_heads(attention.qkv(block.norm1(tokens)), attention.num_heads)
        return attention.q_norm(query), attention.k_norm(key), value

    return BlockParts(
        heads,
        lambda mixed: block.ls1(attention.proj(attention.norm(_joined(mixed)))),
        lambda tokens: block.ls2(block.mlp(block.norm2(tokens))),
    )


def _evas(before: "BeforeLast") -> BlockParts:
    block = before.block
    attention = block.attn

    def heads(tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen = block.norm1(tokens)
        if attention.qkv is None:
            found = torch.cat([attention.q_proj(seen), attention.k_proj(seen), attention.v_proj(seen)], dim=-1)
        else:
            found = attention.qkv(seen)
            if attention.q_bias is not None:
                found = found + torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
        query, key, value = _in_heads(found, attention.num_heads)
        return turned(attention.q_norm(query)), turned(attention.k_norm(key)), value

    def turned(one: Tensor) -> Tensor:
        if before.rotary is None:
            return one
        first = attention.num_prefix_tokens
        grid = apply_rot_embed_cat(one[:, :, first:], before.rotary, half=attention.rotate_half)
        return torch.cat([one[:, :, :first], grid], dim=2).type_as(one)

    return BlockParts(
        heads,
        lambda mixed: _scaled(attention.proj(attention.norm(_joined(mixed))), block.gamma_1),
        lambda tokens: _scaled(block.mlp(block.norm2(tokens)), block.gamma_2),
    )


def _in_heads(found: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """(B, L, 3·W) → three of (B, heads, L, d)."""
    query, key, value = found.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    return query, key, value


def _joined(mixed: Tensor) -> Tensor:
    """(B, heads, L, d) → (B, L, W)."""
    return mixed.transpose(1, 2).flatten(2)


def _scaled(found: Tensor, gamma: Tensor | None) -> Tensor:
    return found if gamma is None else gamma * found
