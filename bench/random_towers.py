"""What the benchmarks share: a CLIP of random weights by open_clip's name, COCO's 80 class names, labels."""

import torch

from promptmlr.backbone import Backbone, bare_backbone
from promptmlr.data.formats.coco import COCO_CLASS_NAMES as CLASS_NAMES

__all__ = ["CLASS_NAMES", "random_backbone", "random_labels"]


def random_backbone(
    name: str,
    image_size: int,
    dtype: torch.dtype = torch.float32,
    text_dtype: torch.dtype | None = None,
    device: torch.device | None = None,
) -> Backbone:
    return bare_backbone(name, image_size, device, dtype=dtype, text_dtype=text_dtype)


def random_labels(images: int, classes: int) -> torch.Tensor:
    """(N, C) int8: 1 present, 0 absent, −1 unknown."""
    return torch.randint(-1, 2, (images, classes), dtype=torch.int8)
