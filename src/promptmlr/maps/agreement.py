"""Agreement of two maps of an image: correlation over regions, and overlap of the regions where each is highest.

Letters: B images, C classes, R regions, G = R - 1 of them in the grid, N images of a data set. Region 0 is global and
is left out.
"""

from math import comb

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.data.images import UnreadableImage
from promptmlr.exact import exact_dtype
from promptmlr.recognizer import Recognizer
from promptmlr.regions import Indices, RegionSource, in_order
from promptmlr.reporting import Progress

__all__ = ["MEASURES", "chance_overlap", "image_agreements", "map_agreement", "top_regions"]

MEASURES = ("correlation", "overlap", "other_correlation", "other_overlap")
"""Of a class's presence map with its absence map and, for reference, with the presence maps of the other classes."""

BATCH = 32  # images whose maps are in memory at once


def top_regions(regions: int, share: float) -> int:
    """Number of regions that count as the highest of a map: a share of the grid's R - 1 regions, at least one."""
    return max(round(share * (regions - 1)), 1)


def chance_overlap(regions: int, share: float) -> float:
    """The mean overlap of two maps whose highest regions are drawn at random, independently of each other."""
    grid, top = regions - 1, top_regions(regions, share)
    ways = [comb(top, both) * comb(grid - top, top - both) for both in range(top + 1)]
    return sum(way * both / (2 * top - both) for both, way in enumerate(ways)) / comb(grid, top)


def map_agreement(presence: Tensor, absence: Tensor, share: float) -> Tensor:
    """`MEASURES` of the two maps of every class.

    The correlation is Pearson's over the regions of the grid; the overlap is the intersection over union of the two
    sets of highest regions. The values with other classes are means over these classes.

    Args:
        presence: (B, C, R) float, on any scale.
        absence: (B, C, R) float, on any scale.
        share: of the regions that count as highest, above 0 and at most 1.

    Returns:
        (B, C, 4) float64. NaN where one of the maps is constant; the last two also where the presence maps of all other
        classes are constant.
    """
    top = top_regions(presence.shape[-1], share)
    directions, tops = zip(*((_direction(side), _top(side, top)) for side in _grids(presence, absence)), strict=True)
    correlation = (directions[0] * directions[1]).sum(dim=-1)
    constant = torch.zeros_like(correlation).masked_fill(correlation.isnan(), torch.nan)
    overlap = _union_share((tops[0] * tops[1]).sum(dim=-1), top) + constant
    others = directions[0] @ directions[0].transpose(1, 2)
    others.diagonal(dim1=1, dim2=2).fill_(torch.nan)
    other_overlaps = _union_share(tops[0] @ tops[0].transpose(1, 2), top).masked_fill(others.isnan(), torch.nan)
    means = [pairs.nanmean(dim=-1) + constant for pairs in (others, other_overlaps)]
    return torch.stack([correlation, overlap, *means], dim=-1)


def _grids(*maps: Tensor) -> list[Tensor]:
    return [one[..., 1:].to(exact_dtype(one.device)) for one in maps]


def _direction(maps: Tensor) -> Tensor:
    """(B, C, G) centred and of unit length, so that products are correlations. NaN for a constant map."""
    same = (maps == maps[..., :1]).all(dim=-1, keepdim=True)
    centred = maps - maps.mean(dim=-1, keepdim=True)
    return torch.nn.functional.normalize(centred, dim=-1, eps=0.0).masked_fill(same, torch.nan)


def _top(maps: Tensor, top: int) -> Tensor:
    """(B, C, G): 1 in the `top` highest regions of a map, else 0."""
    return torch.zeros_like(maps).scatter_(-1, maps.topk(top, dim=-1).indices, 1.0)


def _union_share(common: Tensor, top: int) -> Tensor:
    """Intersection over union of two sets of `top` regions that share `common` regions."""
    return common / (2 * top - common)


@torch.no_grad()
def image_agreements(
    recognizer: Recognizer, source: RegionSource, share: float, progress: Progress | None = None, tiles: int = 0
) -> tuple[Indices, NDArray[np.float32]]:
    """`map_agreement` of the presence and the absence map of every class in every image, batch by batch.

    The last `tiles` regions, of tiles, are on no grid and left out.

    Returns:
        The (N',) indices of the readable images, and (N', C, 4) measures.

    Raises:
        UnreadableImage: none could be read.
    """
    kept, found = [], []
    for indices, regions in in_order(source, BATCH):
        kept.append(indices)
        maps = recognizer.maps(regions[:, : regions.shape[1] - tiles])
        found.append(map_agreement(*maps, share).float().cpu().numpy())
        if progress is not None:
            progress(int(indices[-1]) + 1, len(source))
    if not kept:
        raise UnreadableImage("no image could be read")
    return np.concatenate(kept), np.concatenate(found)
