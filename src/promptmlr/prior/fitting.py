"""A run that starts at the calibrated zero-shot, with a prior whose strength is chosen on the known labels.

Letters: N images, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from promptmlr.labels import PRESENT, UNKNOWN, Labels
from promptmlr.prior.calibrated import calibrated_zero_shot
from promptmlr.prior.positive_only import resolve_unknown
from promptmlr.prior.sample import sampled_regions
from promptmlr.prior.strength import INFINITE, StrengthChoice, choose_strength, strength_name
from promptmlr.prior.zero_shot import Moments
from promptmlr.prior_record import PriorRecord
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import RegionSource, SelectedRegions
from promptmlr.reporting import Reporter
from promptmlr.training import Prior, TrainingRun, TrainingState

__all__ = ["BegunRun", "begin_run"]

PATH_SAMPLE = 1_000  # images at most that the strength is chosen on: in all folds less than two epochs of COCO


@dataclass(frozen=True)
class BegunRun:
    """A run that is ready to be trained.

    Attributes:
        run: with a prior, its recognizer is the calibrated zero-shot.
        record: the prior as a run folder stores it; None without a prior.
        odds: (N, C) log odds of known labels out of fold, at the chosen strength; NaN elsewhere. None if no strength
            was chosen.
    """

    run: TrainingRun
    record: PriorRecord | None = None
    odds: NDArray[np.float64] | None = None


def begin_run(
    recognizer: Recognizer,
    source: RegionSource,
    labels: Labels,
    recipe: Recipe,
    *,
    seed: int = 0,
    order_seed: int = 0,
    state: TrainingState | None = None,
    record: PriorRecord | None = None,
    odds: NDArray[np.float64] | None = None,
    share: float | Sequence[float] | None = None,
    costly: NDArray[np.bool_] | None = None,
    reporter: Reporter | None = None,
) -> BegunRun:
    """Decide the cost of unknown labels and, if the recipe has a prior, scale the recognizer and choose the strength.

    Args:
        recognizer: at its start, unscaled; scaled in place.
        source: regions of N images.
        labels: (N, C) int8; with a prior, all may be unknown.
        recipe: of the training.
        seed: of folds, and of the sample of images if there are many.
        order_seed: of the order of images.
        state: training state of an interrupted run.
        record: prior of an interrupted run; nothing is fitted or chosen again.
        odds: log odds that belong to `record`.
        share: known prevalence, one number for all classes or one for each; None if unknown.
        costly: (C,) classes whose unknown labels have the recipe's cost; None applies `resolve_unknown`.
        reporter: receives progress.
    """
    if costly is None:
        recipe, costly = resolve_unknown(recipe, labels)
    state = state or TrainingState()
    if not recipe.has_prior:
        return BegunRun(TrainingRun(recognizer, labels, recipe, state, costly=costly))
    if record is None:
        record, moments = calibrated_zero_shot(recognizer, source, labels, recipe, costly, seed=seed, share=share)
        choice = _choice(recognizer, source, labels, recipe, costly, moments, seed, order_seed, reporter)
        costs = {strength_name(tried): cost for tried, cost in choice.costs.items()}
        strength = "infinite" if choice.strength == INFINITE else choice.strength
        record, odds = record.model_copy(update={"strength": strength, "costs": costs}), choice.odds
    recognizer.scaling = record.scaling().to(next(recognizer.parameters()).device)
    prior = Prior.of(recognizer, record.lambda_)
    return BegunRun(TrainingRun(recognizer, labels, recipe, state, prior, costly), record, odds)


def _choice(
    recognizer: Recognizer,
    source: RegionSource,
    labels: Labels,
    recipe: Recipe,
    costly: NDArray[np.bool_],
    moments: Moments,
    seed: int,
    order_seed: int,
    reporter: Reporter | None,
) -> StrengthChoice:
    """Of a path of strengths, where labels can tell; log odds out of fold are (N, C)."""
    if recipe.prior_strength == "infinite" or not (labels != UNKNOWN).any():
        return StrengthChoice(INFINITE)
    if recipe.prior_strength != "auto":
        return StrengthChoice(recipe.prior_strength)
    if not (labels == PRESENT).any():
        return StrengthChoice(INFINITE)
    useful = np.arange(len(labels)) if costly.any() else np.flatnonzero((labels != UNKNOWN).any(axis=1))
    chosen, regions = sampled_regions(
        SelectedRegions(source, useful), labels[useful], PATH_SAMPLE, seed, uniform=bool(costly.any())
    )
    images = useful[chosen]
    with (reporter or Reporter()).progress("strengths of the prior tried") as say:
        choice = choose_strength(
            recognizer,
            regions,
            labels[images],
            moments,
            recipe,
            costly=costly,
            seed=seed,
            order_seed=order_seed,
            on_strength=say,
        )
    if choice.odds is None:
        return choice
    odds = np.full(labels.shape, np.nan)
    odds[images] = choice.odds
    return replace(choice, odds=odds)
