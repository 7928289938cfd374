"""The strength of the prior: chosen on the known labels, along a path from infinite to weak.

Letters: N images, C classes, K folds.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from promptmlr.functional import cross_entropy_cost
from promptmlr.labels import PRESENT, UNKNOWN, Labels, label_folds
from promptmlr.prediction import predict_margins
from promptmlr.prior.zero_shot import Moments, fit_scaling
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import InMemoryRegions
from promptmlr.training import Prior, TrainingRun, fit_runs
from promptmlr.unknown import unknown_cost

__all__ = ["INFINITE", "STRENGTHS", "StrengthChoice", "choose_strength", "strength_name"]

INFINITE = math.inf
STRENGTHS = (30_000.0, 10_000.0, 3_000.0, 1_000.0, 300.0, 100.0)
"""λ of `promptmlr.training.Prior`, strong to weak; infinity, the calibrated zero-shot itself, comes before them."""
EPOCHS = 5  # at each strength, starting from the vectors of the previous one
WIDE = 100.0  # λ at which the rate is the recipe's; it shrinks with the width of the prior
FOLDS = 3
INFINITE_COUNTS_AS = 100_000.0
# The expected λ was the best on drawn worlds and on ViT-B/32's features.
EXPECTED_TIMES_LABELS = 60_000.0  # expected λ times known labels per class
EXPECTED_WITHIN = (1_000.0, 30_000.0)  # limits of the expected λ
SPREAD = 0.8  # standard deviation of log λ around it
WORSE = 2.0  # nats above the best cost so far, at which weaker priors are no longer tried
FIRST_STOP = 3_000.0  # the path does not stop at a larger λ


@dataclass(frozen=True)
class StrengthChoice:
    """The chosen strength and the costs that decided.

    Attributes:
        strength: λ, or `INFINITE`.
        costs: every λ that was tried → mean cost of a known label out of fold, in nats.
        odds: (N, C) log odds out of fold at the chosen strength, NaN where the label is unknown or was in no fold.
    """

    strength: float
    costs: dict[float, float] = field(default_factory=dict)
    odds: NDArray[np.float64] | None = None


def strength_name(strength: float) -> str:
    """As records and messages call it."""
    return "infinite" if strength == INFINITE else f"{strength:g}"


def choose_strength(
    recognizer: Recognizer,
    source: InMemoryRegions,
    labels: Labels,
    moments: Moments,
    recipe: Recipe,
    *,
    costly: NDArray[np.bool_],
    seed: int = 0,
    order_seed: int = 0,
    on_strength: Callable[[int, int], None] | None = None,
) -> StrengthChoice:
    """Choose λ by out-of-fold cost: the cross-entropy of known labels, plus the cost of unknown ones if they have one.

    All folds are trained side by side, at each strength starting from the vectors of the stronger one (a warm-started
    path, as in Friedman, Hastie and Tibshirani, 2010), and the path stops once the cost rises. Because few labels give
    noisy costs, a wide prior on log λ is added; a strength that is clearly worse than zero-shot is never chosen.

    Args:
        recognizer: the zero-shot recognizer, unscaled; not changed.
        source: regions of N images.
        labels: (N, C) int8 of which some are known.
        moments: of the margins of the zero-shot recognizer.
        recipe: of the training.
        costly: (C,) classes whose unknown labels have a cost.
        seed: of the folds.
        order_seed: of the order of images.
        on_strength: called with the number of strengths tried and their largest number.
    """
    folds = min(FOLDS, int((labels == PRESENT).sum()))
    if folds < 2:
        return StrengthChoice(INFINITE)
    fold = label_folds(labels, seed, folds)
    _, margins = predict_margins(recognizer, source)
    start, runs = Prior.of(recognizer, INFINITE).start, []
    for number in range(folds):
        own = copy.deepcopy(recognizer)
        seen = np.where(fold == number, np.int8(UNKNOWN), labels)
        own.scaling, _ = fit_scaling(margins, seen, moments, recipe.unknown, costly)
        own.scaling.to(source.regions.device)
        runs.append(TrainingRun(own, seen, recipe, costly=costly))
    best, found = math.inf, {}
    tried: dict[float, float] = {}
    for step, strength in enumerate((INFINITE, *STRENGTHS)):
        if strength < INFINITE:
            _train(runs, source, recipe, Prior(start, strength), order_seed + step)
        odds = np.stack([predict_margins(run.recognizer, source)[1] for run in runs])
        tried[strength] = _cost(odds, labels, fold, recipe.unknown, costly)
        found[strength] = np.where(fold >= 0, np.take_along_axis(odds, np.maximum(fold, 0)[None], 0)[0], np.nan)
        if on_strength is not None:
            on_strength(step + 1, len(STRENGTHS) + 1)
        if strength < FIRST_STOP and tried[strength] > best + WORSE:
            break
        best = min(best, tried[strength])
    known = int((fold >= 0).sum())
    expected = min(max(EXPECTED_TIMES_LABELS * labels.shape[1] / known, EXPECTED_WITHIN[0]), EXPECTED_WITHIN[1])
    harmless = [strength for strength in tried if tried[strength] <= tried[INFINITE] + WORSE]
    chosen = min(harmless, key=lambda strength: tried[strength] + _unexpected(strength, expected))
    return StrengthChoice(chosen, {key: value / known for key, value in tried.items()}, found[chosen])


def _train(runs: Sequence[TrainingRun], source: InMemoryRegions, recipe: Recipe, prior: Prior, order_seed: int) -> None:
    """Train all folds from their current vectors, with new optimizers."""
    width = math.sqrt(WIDE / float(prior.strength))
    rates = {name: getattr(recipe, name) * min(1.0, width) for name in ("context_rate", "embedding_rate")}
    short = recipe.model_copy(update={"epochs": min(EPOCHS, recipe.epochs), **rates})
    begun = [TrainingRun(run.recognizer, run.labels, short, prior=prior, costly=run.costly) for run in runs]
    fit_runs(begun, source, order_seed=order_seed)


def _cost(
    odds: NDArray[np.float64], labels: Labels, fold: NDArray[np.int64], unknown: str, costly: NDArray[np.bool_]
) -> float:
    """Summed cost of the known labels under the recognizers that did not see them, plus the cost of unknown labels.

    Args:
        odds: (K, N, C) log odds of the K recognizers.
        labels: (N, C) int8.
        fold: (N, C) the fold of each known label, -1 for unknown ones.
        unknown: the cost of unknown labels, averaged over the recognizers; a name of `UNKNOWN_COSTS`.
        costly: (C,) classes in which they have that cost.
    """
    total = 0.0
    for number, own in enumerate(torch.from_numpy(odds)):
        logits = torch.stack([-own / 2, own / 2], dim=1)
        held = torch.from_numpy(np.where(fold == number, labels, np.int8(UNKNOWN)))
        total += float(cross_entropy_cost(logits, held).sum())
        if unknown != "ignore":
            columns = torch.from_numpy(costly)
            total += float(unknown_cost(logits, torch.from_numpy(labels), unknown)[:, columns].sum()) / len(odds)
    return total


def _unexpected(strength: float, expected: float) -> float:
    """−log of the prior of λ, in nats."""
    return (math.log(min(strength, INFINITE_COUNTS_AS) / expected) / SPREAD) ** 2 / 2
