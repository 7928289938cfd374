"""open_clip's own vision transformers: pooled at a class token, by averaging, or by attention (CoCa)."""

from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from promptmlr.backbone.image.kind import TowerKind, each_alone, resized_positions
from promptmlr.backbone.image.parts import has_parts
from promptmlr.backbone.image.ways import VALUE, BeforeLast, Way

__all__ = ["KIND", "first_token", "vit_regions"]


def vit_regions(visual: VisionTransformer, images: Tensor, way: Way = VALUE) -> Tensor:
    """Region 0 is the tower's own feature; the others leave out the attention that mixes patches into it.

    Pooled at the class token, they are what `way` makes of the last block. Pooled by attention, they are the value path
    of the pool, as in CLIP's ResNets. Pooled by averaging, they are what is averaged.

    Args:
        visual: the tower.
        images: (B, 3, H, W) float, normalised; H and W multiples of the patch.
        way: one that is known of the tower.

    Returns:
        (B, h·w + 1, D), not normalised.
    """
    patches = visual.conv1(images)
    size = patches.shape[-2:]
    tokens = patches.flatten(2).transpose(1, 2)
    first = visual.class_embedding.to(tokens.dtype).expand(tokens.shape[0], 1, -1)  # len() would fix B in an export
    tokens = torch.cat([first, tokens], dim=1)
    tokens = tokens + resized_positions(visual.positional_embedding, size).to(tokens.dtype)
    tokens = visual.ln_pre(tokens)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        tokens = block(tokens)
    if visual.attn_pool is None and visual.pool_type == "tok":
        pooled = visual.ln_post(first_token(last, tokens))
        local = way.patches(BeforeLast(last, tokens, 1, (size[0], size[1])))
    else:
        tokens = last(tokens)
        pooled = visual._pool(tokens)[0][:, None]
        local = tokens[:, 1:] if visual.attn_pool is None else _first_query(visual.attn_pool, tokens[:, 1:])
    regions: Tensor = torch.cat([pooled, visual.ln_post(local)], dim=1) @ visual.proj
    return regions


def first_token(block: nn.Module, tokens: Tensor) -> Tensor:
    """(B, 1, W): a block's output at the class token, which is all that is read of it."""
    if not isinstance(block, ResidualAttentionBlock):
        return block(tokens)[:, :1]  # type: ignore[no-any-return]
    seen, first = block.ln_1(tokens), tokens[:, :1]
    first = first + block.ls_1(block.attention(seen[:, :1], seen, seen))
    result: Tensor = first + block.ls_2(block.mlp(block.ln_2(first)))
    return result


def _first_query(pool: Any, tokens: Tensor) -> Tensor:
    """(B, L, W) → (B, L, D): what the pool's first query, which CoCa compares with texts, makes of each token alone."""
    query = pool.ln_q(pool.query[:1])

    def pooled(alone: Tensor) -> Tensor:
        keys = pool.ln_k(alone)
        found: Tensor = pool.attn(query.expand(alone.shape[0], -1, -1), keys, keys, need_weights=False)[0]
        return found[:, 0]

    return each_alone(pooled, tokens)


def _fits(visual: nn.Module) -> bool:
    """Not with CoCa's two pools, of which no weights are public, nor without any pool."""
    if not isinstance(visual, VisionTransformer) or visual.pool_type == "none":
        return False
    return visual.attn_pool is None or (visual.pool_type == "tok" and visual.attn_pool_contrastive is None)


def _why_value_alone(visual: VisionTransformer) -> str | None:
    if visual.attn_pool is not None or visual.pool_type != "tok":
        return "it is not pooled at a class token in its last block"
    block = visual.transformer.resblocks[-1]
    return None if has_parts(block) else f"its last block is of another kind ({type(block).__name__})"


def _fix_grid(visual: VisionTransformer, grid: int) -> None:
    visual.positional_embedding = nn.Parameter(resized_positions(visual.positional_embedding, (grid, grid)))


KIND = TowerKind(
    name="open_clip's vision transformers",
    fits=_fits,
    patch_side=lambda visual: int(visual.patch_size[0]),
    regions=vit_regions,
    default_way="qk",
    why_value_alone=_why_value_alone,
    fix_grid=_fix_grid,
)
