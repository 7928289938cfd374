"""What is looked at where there are many images: a sample of them, by the labels that they have.

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

MARGINS_SAMPLE = 5_000  # images at most that margins are scaled and thresholds chosen on


def sample_images(labels: Labels, most: int, seed: int, ticks: bool = False) -> Indices:
    """At most so many images, in order: those with a known label first; with ticks, as they come."""
    if len(labels) <= most:
        return np.arange(len(labels))
    order = np.random.default_rng([seed, most]).permutation(len(labels))
    if not ticks:
        known = (labels[order] != UNKNOWN).any(axis=1)
        order = order[np.argsort(~known, kind="stable")]
    return np.sort(order[:most])


def sampled_margins(
    model: Callable[[Tensor], Tensor], source: RegionSource, labels: Labels, seed: int, ticks: bool
) -> tuple[Indices, NDArray[np.float64]]:
    """(N',) the images of a sample that can be read, and their (N', C) margins."""
    chosen = sample_images(labels, MARGINS_SAMPLE, seed, ticks)
    kept, margins = predict_margins(model, SelectedRegions(source, chosen))
    return chosen[kept], margins


def sampled_regions(
    source: RegionSource, labels: Labels, most: int, seed: int, ticks: bool = False
) -> tuple[Indices, InMemoryRegions]:
    """(N',) the images of a sample that can be read, and their regions, held in memory."""
    chosen = sample_images(labels, most, seed, ticks)
    kept, regions = held(SelectedRegions(source, chosen))
    return chosen[kept], regions
