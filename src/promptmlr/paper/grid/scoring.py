"""How a trained recognizer is scored: mAP, F1, the quality of its probabilities, and the displacement of each side.

mAP ranks images class by class, so it does not show a constant added to all scores of a side, overconfident
probabilities, or a side that learned nothing. F1 at ½ and the log loss show the first, log loss and calibration error
the second, the displacement from the start the third.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.evaluation import bootstrap_map, evaluate, log_loss
from promptmlr.exact import exact_dtype
from promptmlr.labels import Labels
from promptmlr.prediction import predict_together
from promptmlr.recognizer import Recognizer
from promptmlr.regions import RegionSource, in_order
from promptmlr.reliability import reliability
from promptmlr.top_scores import top_scores

__all__ = ["Score", "displacement", "first_regions", "mean_aps", "score", "score_folds"]

RESAMPLES = 1000  # of the test images
MEASURED = 256  # images on which displacements are measured


@dataclass(frozen=True)
class Score:
    """One trained recognizer on the test images.

    Attributes:
        mean_ap: in 0..1; mean over folds.
        cf1: mean over classes of F1 at ½, in 0..1 (`Evaluation.cf1`).
        of1: F1 at ½ of all labels pooled, in 0..1.
        presence_displacement: root mean square of the change of the presence map by training, in logits (S = 20 · cos).
        absence_displacement: the same of the absence map.
        log_loss: mean of −log P of the known labels, in nats (`log_loss`).
        calibration_error: expected calibration error, in 0..1 (`reliability.Reliability`).
        cf1_top3: of at most three classes an image, in 0..1; this and the next two as `TopScores` has them.
        of1_top3: the same, all labels pooled.
        f1_at_3: of exactly three classes an image, all labels pooled.
    """

    mean_ap: float
    cf1: float
    of1: float
    presence_displacement: float
    absence_displacement: float
    log_loss: float
    calibration_error: float
    cf1_top3: float
    of1_top3: float
    f1_at_3: float


def score(
    starts: Sequence[Recognizer], trained: Sequence[Recognizer], source: RegionSource, labels: Labels
) -> Iterator[tuple[Score, NDArray[np.float64]]]:
    """Score recognizers one after the other in a single pass over the images.

    Args:
        starts: the recognizers before training, folded.
        trained: the recognizers after training, folded.
        source: regions of the N test images; those that cannot be read are left out.
        labels: (N, C) int8.

    Yields:
        The scores of a recognizer, and its mAP (S,) on resamples of the images, the same resamples for all.
    """
    regions = first_regions(source)
    kept, predicted = predict_together(trained, source)
    for start, recognizer, probabilities in zip(starts, trained, predicted, strict=True):
        yield score_folds([probabilities], [labels[kept]], displacement(start, recognizer, regions))


def score_folds(
    probabilities: Sequence[NDArray[np.floating]], labels: Sequence[Labels], displacement: tuple[float, float]
) -> tuple[Score, NDArray[np.float64]]:
    """Score the predictions of several folds, each made by its own recognizer; without folds there is one.

    Each fold is ranked by itself, because scores of different recognizers need not be comparable: mAP is the mean over
    folds. All other scores pool the labels of all folds. Images are resampled within their fold.

    Args:
        probabilities: (N, C) P(present) of each fold.
        labels: (N, C) int8 of each fold.
        displacement: of the presence and the absence map.

    Returns:
        The scores, and (S,) mAP on resamples of the images.
    """
    names = [str(column) for column in range(labels[0].shape[1])]
    by_fold = [evaluate(*fold, names, resamples=0) for fold in zip(probabilities, labels, strict=True)]
    together, known = np.concatenate(probabilities), np.concatenate(labels)
    pooled = by_fold[0] if len(by_fold) == 1 else evaluate(together, known, names, resamples=0)
    resampled = [
        bootstrap_map(*fold, RESAMPLES, seed=number)
        for number, fold in enumerate(zip(probabilities, labels, strict=True))
    ]
    found = Score(
        float(np.mean([one.mean_ap for one in by_fold])),
        pooled.cf1,
        pooled.of1,
        *displacement,
        log_loss(together, known),
        reliability(together, known).calibration_error,
        **asdict(top_scores(together, known)),
    )
    return found, np.mean(resampled, axis=0)


def mean_aps(recognizers: Sequence[Recognizer], source: RegionSource, labels: Labels) -> list[float]:
    """MAP of folded recognizers, without the other scores."""
    kept, predicted = predict_together(recognizers, source)
    return [
        evaluate(probabilities, labels[kept], recognizer.class_names, resamples=0).mean_ap
        for recognizer, probabilities in zip(recognizers, predicted, strict=True)
    ]


@torch.no_grad()
def displacement(start: Recognizer, trained: Recognizer, regions: Tensor) -> tuple[float, float]:
    """Root mean square change of the presence and the absence map by training, over (B, R, D) regions, in logits."""
    pairs = zip(start.maps(regions), trained.maps(regions), strict=True)
    presence, absence = (
        float((after - before).to(exact_dtype(after.device)).square().mean().sqrt()) for before, after in pairs
    )
    return presence, absence


def first_regions(source: RegionSource) -> Tensor:
    """Regions (B, R, D) float32 of the first images, on which displacements are measured."""
    _, regions = next(iter(in_order(source, MEASURED)))
    return regions.float()
