"""CLIP's ResNets: the attention pool without its attention."""

from collections.abc import Callable
from functools import partial

import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from promptmlr.backbone.image.fused import plain_trunk, resnet_trunk
from promptmlr.backbone.image.kind import TowerKind, resized_positions
from promptmlr.backbone.image.ways import VALUE

__all__ = ["KIND", "fold_batch_norms", "resnet_regions"]


def _prepare(visual: ModifiedResNet) -> None:
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


def _fix_grid(visual: ModifiedResNet, grid: int) -> None:
    pool = visual.attnpool
    pool.positional_embedding = nn.Parameter(resized_positions(pool.positional_embedding, (grid, grid)))


KIND = TowerKind(
    name="CLIP's ResNets (ModifiedResNet)",
    fits=lambda visual: isinstance(visual, ModifiedResNet),
    patch_side=lambda _visual: 32,
    regions=lambda visual, images, _way=VALUE: resnet_regions(visual, partial(plain_trunk, visual), images),
    prepare=_prepare,
    why_value_alone=lambda _visual: "its attention pool mixes regions once, and its values are taken",
    fix_grid=_fix_grid,
    fast=lambda visual: partial(resnet_regions, visual, resnet_trunk(visual)),
)
