"""Agreement over a data set: per class and as a mean over classes, where the class is present and where it is absent.

Letters: N images, C classes, K quantities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from promptmlr.evaluation import resampled_counts
from promptmlr.labels import ABSENT, PRESENT, Labels
from promptmlr.maps.agreement import MEASURES

__all__ = ["QUANTITIES", "Agreement", "Interval", "agreements"]

Label = Literal["present", "absent"]

QUANTITIES = (*MEASURES, "correlation_difference", "overlap_difference")
"""`MEASURES`, and how much more the two maps of a class agree than presence maps of different classes."""

LABELS: Mapping[Label, int] = MappingProxyType({"present": PRESENT, "absent": ABSENT})
FEWEST = 2  # images that can be resampled


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its 95 % percentile bootstrap interval over images; NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """Agreement of the maps of a class, or of all classes, over the images with one label.

    Attributes:
        class_name: None for the mean over classes.
        label: whether the class is "present" or "absent" in the images.
        images: their number; for the mean over classes, of those that count for at least one class.
        classes: 1; for the mean over classes, the number of classes with such an image.
        quantities: an interval for each of `QUANTITIES`.
    """

    class_name: str | None
    label: Label
    images: int
    classes: int
    quantities: Mapping[str, Interval]


def agreements(
    measured: NDArray[np.floating],
    labels: Labels,
    class_names: Sequence[str],
    resamples: int = 1000,
    seed: int = 0,
) -> list[Agreement]:
    """Means over images and over classes, with intervals.

    An image does not count for a class if the label is unknown or one of the two maps is constant. Classes have equal
    weights in the mean over them. Each resample of this mean draws the images once for all classes; a class contributes
    linearly in how often its images are drawn, as if their number were fixed.

    Args:
        measured: (N, C, 4) `MEASURES`.
        labels: (N, C) int8.
        class_names: C names.
        resamples: of the images.
        seed: of the resamples.

    Returns:
        For each label the mean over classes, then every class.
    """
    values = np.concatenate([measured[..., :4], measured[..., :2] - measured[..., 2:4]], axis=-1, dtype=np.float64)
    known = ~np.isnan(values[..., 0])
    found = []
    for label, code in LABELS.items():
        counted = known & (labels == code)
        classes = [
            _of_images(name, label, values[counted[:, c], c], resamples, seed) for c, name in enumerate(class_names)
        ]
        found += [_over_classes(classes, label, values, counted, resamples, seed), *classes]
    return found


def _of_images(
    name: str | None, label: Label, rows: NDArray[np.float64], resamples: int, seed: int, classes: int = 1
) -> Agreement:
    """The mean of (n, K) rows."""
    ends = np.full((2, len(QUANTITIES)), nan)
    if len(rows) >= FEWEST:
        drawn = [counts @ rows / len(rows) for counts in resampled_counts(len(rows), resamples, seed)]
        ends = np.quantile(np.concatenate(drawn), [0.025, 0.975], axis=0)
    means = rows.mean(axis=0) if len(rows) else np.full(len(QUANTITIES), nan)
    intervals = map(Interval, means.tolist(), *ends.tolist())
    return Agreement(name, label, len(rows), classes, dict(zip(QUANTITIES, intervals, strict=True)))


def _over_classes(
    per_class: Sequence[Agreement],
    label: Label,
    values: NDArray[np.float64],
    counted: NDArray[np.bool_],
    resamples: int,
    seed: int,
) -> Agreement:
    """The mean over classes, written as a mean over images, so that resampling images resamples it."""
    scored = [c for c, one in enumerate(per_class) if one.images]
    means = np.array([[per_class[c].quantities[key].value for key in QUANTITIES] for c in scored])
    images = counted.any(axis=1)
    rows = np.zeros((int(images.sum()), len(QUANTITIES)))
    if scored:
        rows += means.mean(axis=0)
    for c, mean in zip(scored, means, strict=True):
        here = counted[images, c]
        rows[here] += (values[counted[:, c], c] - mean) * len(rows) / (here.sum() * len(scored))
    return _of_images(None, label, rows, resamples, seed, classes=len(scored))
