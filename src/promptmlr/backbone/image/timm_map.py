"""timm's networks that end in a map and a head that pools it: ConvNeXt, FastViT (MobileCLIP-S)."""

from typing import Any

import torch
from open_clip.timm_model import TimmModel
from timm.layers.classifier import ClassifierHead, NormMlpClassifierHead
from torch import Tensor, nn

from promptmlr.backbone.image.kind import TowerKind
from promptmlr.backbone.image.ways import VALUE

__all__ = ["KIND", "timm_map_regions"]


def timm_map_regions(visual: TimmModel, images: Tensor) -> Tensor:
    """The head at every place of the map, as if the image were that place alone; region 0 is the tower's own feature.

    Where the head pools first and is linear behind it, region 0 is the mean of the others.

    Args:
        visual: open_clip's wrapper of the network.
        images: (B, 3, H, W) float, normalised; H and W multiples of the stride.

    Returns:
        (B, h·w + 1, D), not normalised.
    """
    trunk: Any = visual.trunk
    features = trunk.forward_features(images)
    places = features.flatten(2).transpose(1, 2)
    alone = places.reshape(-1, features.shape[1], 1, 1)
    local = visual.head(trunk.forward_head(alone))
    own = visual.head(trunk.forward_head(features))
    return torch.cat([own[:, None], local.reshape(places.shape[0], -1, local.shape[-1])], dim=1)


def _fits(visual: nn.Module) -> bool:
    head = getattr(getattr(visual, "trunk", None), "head", None)
    pools = isinstance(head, NormMlpClassifierHead) or (isinstance(head, ClassifierHead) and head.input_fmt == "NCHW")
    return isinstance(visual, TimmModel) and pools and "pool" not in visual.head._modules


KIND = TowerKind(
    name="timm's convolutional networks with a pooling head (ConvNeXt, FastViT)",
    fits=_fits,
    patch_side=lambda visual: int(visual.trunk.feature_info[-1]["reduction"]),
    regions=lambda visual, images, _way=VALUE: timm_map_regions(visual, images),
)
