"""Dense region features of CLIP's image towers: (B, 3, S, S) pixels → (B, R, D) regions, region 0 global.

Only this module distinguishes kinds of tower. A new kind is a file beside this one, with the function for its regions,
and a row of `TOWER_KINDS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from promptmlr.backbone.fused import plain_trunk, resnet_trunk
from promptmlr.errors import UserError

__all__ = ["TOWER_KINDS", "TowerKind", "resized_positions", "resnet_regions", "tower_kind", "vit_regions"]


def _unchanged(visual: Any, *_: Any) -> None:
    pass


@dataclass(frozen=True)
class TowerKind:
    """How a kind of image tower gives regions.

    Attributes:
        patch_side: tower → pixels per region along one side.
        regions: tower, (B, 3, S, S) images → (B, R, D), in ordinary layers, which an export can trace.
        prepare: changes a tower in place, once, before it is cast; called in float32 and evaluation mode.
        fix_grid: tower, side of the grid: resizes its positional embedding permanently.
        fast: tower → the fastest function for its regions on its device; None is `regions`.
    """

    patch_side: Callable[[Any], int]
    regions: Callable[[Any, Tensor], Tensor]
    prepare: Callable[[Any], None] = _unchanged
    fix_grid: Callable[[Any, int], None] = _unchanged
    fast: Callable[[Any], Callable[[Tensor], Tensor]] | None = None

    def encoder(self, visual: nn.Module) -> Callable[[Tensor], Tensor]:
        """The fastest function on this device from (B, 3, S, S) images to a tower's (B, R, D) regions."""
        return partial(self.regions, visual) if self.fast is None else self.fast(visual)


def tower_kind(visual: nn.Module) -> TowerKind:
    """The kind of an image tower.

    Raises:
        UserError: it is not one of `TOWER_KINDS`.
    """
    for module, kind in TOWER_KINDS.items():
        if isinstance(visual, module):
            return kind
    known = ", ".join(module.__name__ for module in TOWER_KINDS)
    raise UserError(f"no regions are known of an image tower {type(visual).__name__}; known: {known}")


def _prepare_resnet(visual: ModifiedResNet) -> None:
    fold_batch_norms(visual)
    visual.to(memory_format=torch.channels_last)


def fold_batch_norms(visual: ModifiedResNet) -> None:
    """Fold every batch norm into the convolution before it; the tower must be in evaluation mode and float32."""
    named = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1"))  # the last is a block's downsample
    for module in list(visual.modules()):
        for convolution, norm in named:
            if isinstance(getattr(module, norm, None), nn.BatchNorm2d):
                folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
                setattr(module, convolution, folded)
                setattr(module, norm, nn.Identity())


def resnet_regions(visual: ModifiedResNet, trunk: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The attention pool without its attention (paper, section 3; DualCoOp's dense CLIP features).

    tokens = [mean of x, x_1 … x_hw] + positional embedding, then only the value and the output projection.

    Args:
        visual: a CLIP ResNet.
        trunk: its layers below the pool, (B, 3, S, S) → (B, width, h, w).
        images: (B, 3, S, S) float, normalised; S a multiple of 32.

    Returns:
        (B, h·w + 1, D), not normalised; region 0 is the mean token.
    """
    features, pool = trunk(images), visual.attnpool
    grid = features.flatten(2).transpose(1, 2)
    tokens = torch.cat([grid.mean(dim=1, keepdim=True), grid], dim=1)
    tokens = tokens + resized_positions(pool.positional_embedding, features.shape[-2:]).to(tokens.dtype)
    regions: Tensor = pool.c_proj(pool.v_proj(tokens))
    return regions


def vit_regions(visual: VisionTransformer, images: Tensor) -> Tensor:
    """The value path of the last block (MaskCLIP): its attention output is out_proj(v); region 0 attends as usual.

    Args:
        visual: a CLIP vision transformer pooled at its class token.
        images: (B, 3, S, S) float, normalised; S a multiple of the patch.

    Returns:
        (B, h·w + 1, D), not normalised; region 0 is the ordinary class-token output.
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
    tokens = torch.cat([last(tokens)[:, :1], _value_path(last, tokens[:, 1:])], dim=1)
    regions: Tensor = visual.ln_post(tokens) @ visual.proj
    return regions


def _value_path(block: ResidualAttentionBlock, tokens: Tensor) -> Tensor:
    """A transformer block in which every token attends to itself alone."""
    attention = block.attn
    width = tokens.shape[-1]
    weight = attention.in_proj_weight[2 * width :]
    bias = attention.in_proj_bias[2 * width :]
    values = attention.out_proj(nn.functional.linear(block.ln_1(tokens), weight, bias))
    tokens = tokens + block.ls_1(values)
    result: Tensor = tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
    return result


def _fix_positions(holder: nn.Module, grid: int) -> None:
    positions: Any = holder.positional_embedding
    holder.positional_embedding = nn.Parameter(resized_positions(positions, (grid, grid)))


def resized_positions(positions: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Positional embedding (1 + g·g, width) for a grid of another size: bicubic, no antialias, token 0 unchanged."""
    side = round((len(positions) - 1) ** 0.5)
    if tuple(size) == (side, side):
        return positions
    grid = positions[1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    grid = nn.functional.interpolate(grid, size=tuple(size), mode="bicubic", align_corners=False)
    return torch.cat([positions[:1], grid.flatten(2)[0].T])


TOWER_KINDS: dict[type[nn.Module], TowerKind] = {
    ModifiedResNet: TowerKind(
        patch_side=lambda _visual: 32,
        regions=lambda visual, images: resnet_regions(visual, partial(plain_trunk, visual), images),
        prepare=_prepare_resnet,
        fix_grid=lambda visual, grid: _fix_positions(visual.attnpool, grid),
        fast=lambda visual: partial(resnet_regions, visual, resnet_trunk(visual)),
    ),
    VisionTransformer: TowerKind(
        patch_side=lambda visual: int(visual.patch_size[0]), regions=vit_regions, fix_grid=_fix_positions
    ),
}
