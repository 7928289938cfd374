"""Random samples of many images, with precedence for images that have known labels.

Letters: N images, C classes.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.labels import UNKNOWN, Labels
from promptmlr.prediction import predict_margins
from promptmlr.regions import Indices, InMemoryRegions, RegionSource, SelectedRegions, held

__all__ = ["sample_images", "sampled_margins", "sampled_regions"]

MARGINS_SAMPLE = 5_000  # most images that margins are scaled and thresholds chosen on


def sample_images(labels: Labels, most: int, seed: int, uniform: bool = False) -> Indices:
    """Sorted indices of at most `most` random images; images with a known label have precedence unless `uniform`."""
    if len(labels) <= most:
        return np.arange(len(labels))
    order = np.random.default_rng([seed, most]).permutation(len(labels))
    if not uniform:
        known = (labels[order] != UNKNOWN).any(axis=1)
        order = order[np.argsort(~known, kind="stable")]
    return np.sort(order[:most])


def sampled_margins(
    model: Callable[[Tensor], Tensor], source: RegionSource, labels: Labels, seed: int, uniform: bool
) -> tuple[Indices, NDArray[np.float64]]:
    """(N',) indices of the readable images of a sample, and their (N', C) margins."""
    chosen = sample_images(labels, MARGINS_SAMPLE, seed, uniform)
    kept, margins = predict_margins(model, SelectedRegions(source, chosen))
    return chosen[kept], margins


def sampled_regions(
    source: RegionSource, labels: Labels, most: int, seed: int, uniform: bool = False
) -> tuple[Indices, InMemoryRegions]:
    """(N',) indices of the readable images of a sample, and their regions in memory."""
    chosen = sample_images(labels, most, seed, uniform)
    kept, regions = held(SelectedRegions(source, chosen))
    return chosen[kept], regions
