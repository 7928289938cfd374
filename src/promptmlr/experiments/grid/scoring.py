"""How a trained recognizer is scored: mAP, F1, and how far training moved each side.

mAP ranks images class by class, so much can go wrong on one side without a trace in it: a constant added to all its
scores, or nothing learned at all. F1 at ½ shows the first, the distance from the start the second.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.evaluation import bootstrap_map, evaluate
from promptmlr.labels import Labels
from promptmlr.prediction import predict_together
from promptmlr.recognizer import Recognizer
from promptmlr.regions import RegionSource, index_batches

__all__ = ["Score", "first_regions", "mean_aps", "moved", "score"]

RESAMPLES = 1000  # of the test images
MEASURED = 256  # images that sides are compared with their starts on


@dataclass(frozen=True)
class Score:
    """One trained recognizer on the test images.

    Attributes:
        mean_ap: in 0..1.
        cf1: mean over classes of F1 at ½, in 0..1 (`Evaluation.cf1`).
        of1: F1 at ½ of all labels pooled, in 0..1.
        presence_moved: root mean square of what training added to the presence map, in logits (S = 20 · cos).
        absence_moved: the same of the absence map.
    """

    mean_ap: float
    cf1: float
    of1: float
    presence_moved: float
    absence_moved: float


def score(
    starts: Sequence[Recognizer], trained: Sequence[Recognizer], source: RegionSource, labels: Labels
) -> Iterator[tuple[Score, NDArray[np.float64]]]:
    """Score recognizers one after the other; the images are gone through once.

    Args:
        starts: each as it was before training, folded.
        trained: each as it is, folded.
        source: regions of the N test images; those that cannot be read are left out.
        labels: (N, C) int8.

    Yields:
        The scores of a recognizer, and (S,) its mAP on resamples of the images, the same for all.
    """
    regions = first_regions(source)
    kept, predicted = predict_together(trained, source)
    for start, recognizer, probabilities in zip(starts, trained, predicted, strict=True):
        found = evaluate(probabilities, labels[kept], recognizer.class_names, resamples=0)
        resampled = bootstrap_map(probabilities, labels[kept], RESAMPLES)
        yield Score(found.mean_ap, found.cf1, found.of1, *moved(start, recognizer, regions)), resampled


def mean_aps(recognizers: Sequence[Recognizer], source: RegionSource, labels: Labels) -> list[float]:
    """MAP of folded recognizers, without the rest."""
    kept, predicted = predict_together(recognizers, source)
    return [
        evaluate(probabilities, labels[kept], recognizer.class_names, resamples=0).mean_ap
        for recognizer, probabilities in zip(recognizers, predicted, strict=True)
    ]


@torch.no_grad()
def moved(start: Recognizer, trained: Recognizer, regions: Tensor) -> tuple[float, float]:
    """How far the presence and the absence map are from where they began, root mean square over (B, R, D) regions."""
    pairs = zip(start.maps(regions), trained.maps(regions), strict=True)
    presence, absence = (float((after - before).double().square().mean().sqrt()) for before, after in pairs)
    return presence, absence


def first_regions(source: RegionSource) -> Tensor:
    """Regions of the first images, (B, R, D) float32, on which sides are measured."""
    _, regions = next(iter(source.batches(index_batches(len(source), MEASURED))))
    return regions.float()
