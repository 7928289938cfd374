"""A run that begins at the calibrated zero-shot and is held there as strongly as the known labels advise.

Letters: N images, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.labels import PRESENT, UNKNOWN, Labels
from promptmlr.platt import PlattScaling
from promptmlr.prediction import predict_margins
from promptmlr.prior.sigmoid import own_share
from promptmlr.prior.strength import INFINITE, StrengthChoice, choose_strength
from promptmlr.prior.ticks import settled
from promptmlr.prior.zero_shot import CommonScaling, Moments, assumed_share, fit_scaling, level_shift
from promptmlr.prior_record import Level, PriorRecord
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import Indices, RegionSource, SelectedRegions, held
from promptmlr.reporting import Reporter
from promptmlr.training import Prior, TrainingRun, TrainingState

__all__ = ["BegunRun", "begin_run", "sample_images"]

SCALING_SAMPLE = 5_000  # images at most that scale and shift are fitted on,
PATH_SAMPLE = 1_000  # and that the strength is chosen on: in all folds together less than two epochs of COCO


@dataclass(frozen=True)
class BegunRun:
    """A run that is ready to be trained.

    Attributes:
        run: with a prior, its recognizer is the calibrated zero-shot.
        record: of the prior, what a run folder keeps; None without one.
        odds: (N, C) log odds of known labels out of fold, at the chosen strength; NaN elsewhere, None where none was
            chosen.
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
    ticked: NDArray[np.bool_] | None = None,
    reporter: Reporter | None = None,
) -> BegunRun:
    """Settle what unknown labels cost; where the recipe has a prior, scale the recognizer and choose the strength.

    Args:
        recognizer: at its start, unscaled; scaled in place.
        source: regions of N images.
        labels: (N, C) int8; with a prior, none needs to be known.
        recipe: of the training.
        seed: of folds and of the images that are looked at where there are many.
        order_seed: of the order of images.
        state: where an interrupted run stood.
        record: of an interrupted run: nothing is fitted or chosen again.
        odds: that came with it.
        share: how often classes are present, one number for all or one each, where a person knows it.
        ticked: (C,) classes whose unknown labels cost what the recipe, then settled, says; None settles it here.
        reporter: where to say how it goes.
    """
    if ticked is None:
        recipe, ticked = settled(recipe, labels)
    state = state or TrainingState()
    if not recipe.has_prior:
        return BegunRun(TrainingRun(recognizer, labels, recipe, state, costly=ticked))
    if record is None:
        fitted, moments, level = _zero_shot(recognizer, source, labels, recipe, ticked, seed, share)
        choice, odds = _choice(recognizer, source, labels, recipe, ticked, moments, seed, order_seed, reporter)
        record = _record(choice, *fitted, recipe.unknown, ticked, level)
    recognizer.scaling = record.scaling().to(next(recognizer.parameters()).device)
    prior = Prior.of(recognizer, record.lambda_)
    return BegunRun(TrainingRun(recognizer, labels, recipe, state, prior, ticked), record, odds)


def sample_images(labels: Labels, most: int, seed: int, ticks: bool = False) -> Indices:
    """At most so many images, in order: those with a known label first; with ticks, as they come."""
    if len(labels) <= most:
        return np.arange(len(labels))
    order = np.random.default_rng([seed, most]).permutation(len(labels))
    if not ticks:
        known = (labels[order] != UNKNOWN).any(axis=1)
        order = order[np.argsort(~known, kind="stable")]
    return np.sort(order[:most])


def _zero_shot(
    recognizer: Recognizer,
    source: RegionSource,
    labels: Labels,
    recipe: Recipe,
    ticked: NDArray[np.bool_],
    seed: int,
    share: float | Sequence[float] | None,
) -> tuple[tuple[PlattScaling, CommonScaling], Moments, Level]:
    chosen = sample_images(labels, SCALING_SAMPLE, seed, ticks=bool(ticked.any()))
    kept, margins = predict_margins(recognizer, SelectedRegions(source, chosen))
    seen = labels[chosen][kept]
    moments = Moments.of(margins)
    if recognizer.pair_score is not None:
        own = own_share(recognizer, SelectedRegions(source, chosen))
        moments = replace(moments, scale=recognizer.pair_score[0], share=own)
    scaling, common = fit_scaling(margins, seen, moments, recipe.unknown, ticked)
    level: Level = "labels" if not ticked.any() else "loss"
    wanted: float | NDArray[np.float64] | None = None if share is None else np.asarray(share, dtype=np.float64)
    if wanted is None and not (labels != UNKNOWN).any():
        wanted, level = assumed_share(labels.shape[1]), "assumed"
        if moments.share is not None:
            wanted, level = moments.share, "tower"
    elif wanted is not None:
        level = "share"
    if wanted is not None:
        with torch.no_grad():
            found = scaling(torch.from_numpy(margins).float()).double().numpy()
            added = torch.from_numpy(level_shift(found, wanted)).float()
            scaling.shift.add_(added)
            scaling.prior_shift.add_(added)
        common = replace(common, shift=common.shift + float(added.mean()))
    return (scaling, common), moments, level


def _choice(
    recognizer: Recognizer,
    source: RegionSource,
    labels: Labels,
    recipe: Recipe,
    ticked: NDArray[np.bool_],
    moments: Moments,
    seed: int,
    order_seed: int,
    reporter: Reporter | None,
) -> tuple[StrengthChoice, NDArray[np.float64] | None]:
    if recipe.prior_strength == "infinite" or not (labels != UNKNOWN).any():
        return StrengthChoice(INFINITE), None
    if recipe.prior_strength != "auto":
        return StrengthChoice(recipe.prior_strength), None
    if not (labels == PRESENT).any():
        return StrengthChoice(INFINITE), None
    useful = np.arange(len(labels)) if ticked.any() else np.flatnonzero((labels != UNKNOWN).any(axis=1))
    chosen = useful[sample_images(labels[useful], PATH_SAMPLE, seed, ticks=bool(ticked.any()))]
    kept, regions = held(SelectedRegions(source, chosen))
    with (reporter or Reporter()).progress("strengths of the prior tried") as say:
        choice = choose_strength(
            recognizer,
            regions,
            labels[chosen[kept]],
            moments,
            recipe,
            ticked=ticked,
            seed=seed,
            order_seed=order_seed,
            on_strength=say,
        )
    if choice.odds is None:
        return choice, None
    odds = np.full(labels.shape, np.nan)
    odds[chosen[kept]] = choice.odds
    return choice, odds


def _record(
    choice: StrengthChoice,
    scaling: PlattScaling,
    common: CommonScaling,
    unknown: str,
    ticked: NDArray[np.bool_],
    level: Level,
) -> PriorRecord:
    def name(strength: float) -> str:
        return "infinite" if strength == INFINITE else f"{strength:g}"

    def listed(values: Tensor) -> tuple[float, ...]:
        return tuple(values.detach().cpu().tolist())

    return PriorRecord(
        strength="infinite" if choice.strength == INFINITE else choice.strength,
        costs={name(strength): cost for strength, cost in choice.costs.items()},
        log_scale=listed(scaling.log_scale),
        shift=listed(scaling.shift),
        centre=listed(scaling.centre),
        prior_log_scale=listed(scaling.prior_log_scale),
        prior_shift=listed(scaling.prior_shift),
        common=dict(vars(common)),
        unknown=unknown,
        ticked=tuple(ticked.tolist()),
        level=level,
    )
