"""How a trained recognizer is scored: mAP, F1, how good its probabilities are, and how far training moved each side.

mAP ranks images class by class, so much can go wrong without a trace in it: a constant added to all scores of a side,
probabilities that are far too sure, or a side that learned nothing. F1 at ½ and the log loss show the first, log loss
and calibration error the second, the distance from the start the third.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.evaluation import bootstrap_map, evaluate, log_loss
from promptmlr.exact import exact_dtype
from promptmlr.labels import Labels
from promptmlr.prediction import predict_together
from promptmlr.recognizer import Recognizer
from promptmlr.regions import RegionSource, index_batches
from promptmlr.reliability import reliability

__all__ = ["Score", "first_regions", "mean_aps", "moved", "score", "score_folds"]

RESAMPLES = 1000  # of the test images
MEASURED = 256  # images that sides are compared with their starts on


@dataclass(frozen=True)
class Score:
    """One trained recognizer on the test images.

    Attributes:
        mean_ap: in 0..1; mean over folds.
        cf1: mean over classes of F1 at ½, in 0..1 (`Evaluation.cf1`).
        of1: F1 at ½ of all labels pooled, in 0..1.
        presence_moved: root mean square of what training added to the presence map, in logits (S = 20 · cos).
        absence_moved: the same of the absence map.
        log_loss: mean of −log P of the known labels, in nats (`log_loss`).
        calibration_error: expected calibration error, in 0..1 (`reliability.Reliability`).
    """

    mean_ap: float
    cf1: float
    of1: float
    presence_moved: float
    absence_moved: float
    log_loss: float
    calibration_error: float


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
        yield score_folds([probabilities], [labels[kept]], moved(start, recognizer, regions))


def score_folds(
    said: Sequence[NDArray[np.floating]], labels: Sequence[Labels], moved: tuple[float, float]
) -> tuple[Score, NDArray[np.float64]]:
    """Score what was said of images in several folds, by a recognizer each; without folds there is one.

    Folds are ranked apart, as scores of different recognizers need not compare: mAP is the mean over folds. All else
    pools their labels. Images are resampled within their fold.

    Args:
        said: of each fold (N, C) P(present).
        labels: of each fold (N, C) int8.
        moved: how far training moved the presence and the absence side.

    Returns:
        The scores, and (S,) mAP on resamples of the images.
    """
    names = [str(column) for column in range(labels[0].shape[1])]
    by_fold = [evaluate(*fold, names, resamples=0) for fold in zip(said, labels, strict=True)]
    together, known = np.concatenate(said), np.concatenate(labels)
    pooled = by_fold[0] if len(by_fold) == 1 else evaluate(together, known, names, resamples=0)
    resampled = [
        bootstrap_map(*fold, RESAMPLES, seed=number) for number, fold in enumerate(zip(said, labels, strict=True))
    ]
    found = Score(
        float(np.mean([one.mean_ap for one in by_fold])),
        pooled.cf1,
        pooled.of1,
        *moved,
        log_loss(together, known),
        reliability(together, known).calibration_error,
    )
    return found, np.mean(resampled, axis=0)


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
    presence, absence = (
        float((after - before).to(exact_dtype(after.device)).square().mean().sqrt()) for before, after in pairs
    )
    return presence, absence


def first_regions(source: RegionSource) -> Tensor:
    """Regions of the first images, (B, R, D) float32, on which sides are measured."""
    _, regions = next(iter(source.batches(index_batches(len(source), MEASURED))))
    return regions.float()
