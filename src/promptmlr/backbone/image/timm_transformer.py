"""timm's vision transformers, with absolute and rotary positions, behind patches or convolutions.

SigLIP and PE-Core pool by attention, EVA, MobileCLIP-B and MobileCLIP2-L at a class token, ViTamin by averaging.
"""

from typing import Any

import torch
from open_clip.timm_model import TimmModel
from timm.layers.attention_pool import AttentionPoolLatent
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from promptmlr.backbone.image.kind import TowerKind, each_alone, resized_positions
from promptmlr.backbone.image.parts import has_parts
from promptmlr.backbone.image.ways import VALUE, BeforeLast, Way

__all__ = ["KIND", "timm_transformer_regions"]


def timm_transformer_regions(visual: TimmModel, images: Tensor, way: Way = VALUE) -> Tensor:
    """As `vit_regions`: region 0 is the tower's own feature, the others leave out the last mixing of patches.

    Args:
        visual: open_clip's wrapper of the transformer.
        images: (B, 3, H, W) float, normalised; H and W multiples of the patch, or the tower's own size.
        way: one that is known of the tower.

    Returns:
        (B, h·w + 1, D), not normalised.
    """
    trunk: Any = visual.trunk
    tokens, rotary, size = _embedded(trunk, images)
    first = trunk.num_prefix_tokens
    with_positions = {} if rotary is None else {"rope": rotary}
    *blocks, last = trunk.blocks
    for block in blocks:
        tokens = block(tokens, **with_positions)
    mixed = last(tokens, **with_positions)
    if trunk.attn_pool is not None:
        local = each_alone(trunk.attn_pool, trunk.norm(mixed)[:, first:])
    elif trunk.global_pool == "token":
        local = trunk.norm(way.patches(BeforeLast(last, tokens, first, size, rotary)))
    else:
        local = trunk.norm(mixed)[:, first:]
    own = visual.head(trunk.forward_head(trunk.norm(mixed)))
    regions: Tensor = visual.head(trunk.head(trunk.head_drop(trunk.fc_norm(local))))
    return torch.cat([own[:, None], regions], dim=1)


def _embedded(trunk: Any, images: Tensor) -> tuple[Tensor, Tensor | None, tuple[int, int]]:
    """(B, first + h·w, W) tokens with absolute positions; the rotary ones, (h·w, ·), where there are any; h and w."""
    side = _patch_side(trunk)
    size = images.shape[-2] // side, images.shape[-1] // side
    tokens = trunk.patch_embed(images[..., : size[0] * side, : size[1] * side])
    tokens = tokens.reshape(tokens.shape[0], -1, tokens.shape[-1])  # of a tower for all sizes they come as a grid
    before = [token for token in (trunk.cls_token, trunk.reg_token) if token is not None]
    with_first = [token.expand(tokens.shape[0], -1, -1) for token in before]
    if trunk.pos_embed is None:
        tokens = torch.cat([*with_first, tokens], dim=1)
    else:
        first = 0 if trunk.no_embed_class else trunk.num_prefix_tokens
        positions = resized_positions(trunk.pos_embed[0], size, first).to(tokens.dtype)
        if first == trunk.num_prefix_tokens:
            tokens = torch.cat([*with_first, tokens], dim=1) + positions
        else:
            tokens = torch.cat([*with_first, tokens + positions], dim=1)
    return trunk.norm_pre(tokens), _rotary(trunk, size), size


def _rotary(trunk: Any, size: tuple[int, int]) -> Tensor | None:
    rope = getattr(trunk, "rope", None)
    if rope is None:
        return None
    rope.update_feat_shape(list(size))  # of a tower for one size, which keeps them; nothing happens for the same one
    found: Tensor = rope.get_embed(shape=list(size))
    return found


def _patch_side(trunk: Any) -> int:
    return int(trunk.patch_embed.feat_ratio())


def _fits(visual: nn.Module) -> bool:
    trunk: Any = getattr(visual, "trunk", None)
    if (
        not isinstance(visual, TimmModel)
        or not isinstance(trunk, VisionTransformer | Eva)
        or "pool" in visual.head._modules
    ):
        return False
    if trunk.attn_pool is not None:
        return isinstance(trunk.attn_pool, AttentionPoolLatent) and trunk.attn_pool.pos_embed is None
    return trunk.global_pool in ("token", "avg") and not getattr(trunk, "rope_mixed", False)


def _why_value_alone(visual: TimmModel) -> str | None:
    trunk: Any = visual.trunk
    if trunk.attn_pool is not None or trunk.global_pool != "token":
        return "it is not pooled at a class token in its last block"
    block = trunk.blocks[-1]
    return None if has_parts(block) else f"its last block is of another kind ({type(block).__name__})"


def _prepare(visual: TimmModel) -> None:
    visual.trunk.patch_embed.strict_img_size = False


def _fix_grid(visual: TimmModel, grid: int) -> None:
    trunk: Any = visual.trunk
    if trunk.pos_embed is not None:
        first = 0 if trunk.no_embed_class else trunk.num_prefix_tokens
        trunk.pos_embed = nn.Parameter(resized_positions(trunk.pos_embed[0], (grid, grid), first)[None])


KIND = TowerKind(
    name="timm's vision transformers (SigLIP, EVA, PE-Core, ViTamin)",
    fits=_fits,
    patch_side=lambda visual: _patch_side(visual.trunk),
    regions=timm_transformer_regions,
    why_value_alone=_why_value_alone,
    prepare=_prepare,
    fix_grid=_fix_grid,
)
