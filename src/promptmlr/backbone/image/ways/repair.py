"""SC-CLIP's repair: the patches that are least like any others are replaced by their neighbours' mean; then `qk`.

Bai and others, "Self-Calibrated CLIP for Training-Free Open-Vocabulary Segmentation" (2024); released `lof_pytorch` and
`mean_interpolation` in clip/model.py of SuleBai/SC-CLIP. Large towers keep global information in a few such patches
(Darcet and others, "Vision Transformers Need Registers", 2024). SC-CLIP's other steps are left out. Its code takes a
patch's own distance to its farthest neighbour where the local outlier factor takes the neighbour's, as is done here.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from promptmlr.backbone.image.ways.qk import qk_patches
from promptmlr.backbone.image.ways.way import BeforeLast, Way

__all__ = ["WAY", "local_outlier_factor", "repaired"]

NEIGHBOURS = 30  # in the space of features, as released; of a small grid half of all
SHARE = 0.05  # of the patches, as released


def repaired(patches: Tensor, size: tuple[int, int]) -> Tensor:
    """Replace outliers by the mean of those of their eight neighbours that are none; they stay where all are.

    Args:
        patches: (B, h·w, W).
        size: h and w.

    Returns:
        (B, h·w, W).
    """
    length = size[0] * size[1]
    if length < 2:
        return patches
    worst = length - 1 - int((1 - SHARE) * (length - 1))  # those above the 95 % quantile
    scores = local_outlier_factor(patches)
    outlier = torch.zeros_like(scores).scatter(1, scores.topk(worst, dim=1).indices, 1.0)
    sound = (1 - outlier)[:, :, None]
    sums = _around(torch.cat([patches * sound, sound], dim=2), size)
    means, any_sound = sums[..., :-1] / sums[..., -1:].clamp(min=1e-6), (sums[..., -1:] > 0).to(sound.dtype)
    changed = outlier[:, :, None] * any_sound
    return patches * (1 - changed) + means * changed


def local_outlier_factor(patches: Tensor) -> Tensor:
    """(B, L) how sparse the space around a patch is, beside that around its neighbours; on squared distances.

    Breunig and others, "LOF: Identifying Density-Based Local Outliers" (2000).

    Args:
        patches: (B, L, W).
    """
    gram = patches @ patches.transpose(1, 2)
    squares = gram.diagonal(dim1=1, dim2=2)
    distances = (squares[:, :, None] + squares[:, None] - 2 * gram).clamp(min=0)
    count = max(1, min(NEIGHBOURS, (patches.shape[1] - 1) // 2))
    near, which = distances.topk(count + 1, dim=2, largest=False)
    near, which = near[..., 1:], which[..., 1:]
    radius = near[..., -1]
    reach = torch.maximum(near, _of_neighbours(radius, which))
    density = 1 / reach.mean(dim=2).clamp(min=1e-6)
    return _of_neighbours(density, which).mean(dim=2) / density


def _of_neighbours(quantity: Tensor, which: Tensor) -> Tensor:
    """(B, L) of each patch → (B, L, k) of each one's neighbours."""
    length = quantity.shape[1]
    return quantity[:, None].expand(-1, length, -1).gather(2, which)


def _around(values: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, h·w, W) one ninth of the sum over a patch and its eight neighbours."""
    maps = values.transpose(1, 2).unflatten(2, size)
    return avg_pool2d(maps, 3, stride=1, padding=1).flatten(2).transpose(1, 2)


def _patches(before: BeforeLast) -> Tensor:
    patches = repaired(before.patches, before.size)
    return qk_patches(replace(before, tokens=torch.cat([before.tokens[:, : before.first], patches], dim=1)))


WAY = Way("repair", _patches)
