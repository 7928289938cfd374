"""A run that starts at the calibrated zero-shot, with a prior whose strength is chosen on the known labels.

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
from promptmlr.prior.positive_only import resolve_unknown
from promptmlr.prior.strength import INFINITE, StrengthChoice, choose_strength
from promptmlr.prior.zero_shot import CommonScaling, Moments, assumed_share, fit_scaling, level_shift
from promptmlr.prior_record import Level, PriorRecord
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import Indices, RegionSource, SelectedRegions, held
from promptmlr.reporting import Reporter
from promptmlr.training import Prior, TrainingRun, TrainingState

__all__ = ["BegunRun", "begin_run", "sample_images"]

SCALING_SAMPLE = 5_000  # most images that scale and shift are fitted on
PATH_SAMPLE = 1_000  # most images that the strength is chosen on: less than two epochs of COCO for all folds together


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
        fitted, moments, level = _zero_shot(recognizer, source, labels, recipe, costly, seed, share)
        choice, odds = _choice(recognizer, source, labels, recipe, costly, moments, seed, order_seed, reporter)
        record = _record(choice, *fitted, recipe.unknown, costly, level)
    recognizer.scaling = record.scaling().to(next(recognizer.parameters()).device)
    prior = Prior.of(recognizer, record.lambda_)
    return BegunRun(TrainingRun(recognizer, labels, recipe, state, prior, costly), record, odds)


def sample_images(labels: Labels, most: int, seed: int, uniform: bool = False) -> Indices:
    """Sorted indices of at most `most` random images; images with a known label have precedence unless `uniform`."""
    if len(labels) <= most:
        return np.arange(len(labels))
    order = np.random.default_rng([seed, most]).permutation(len(labels))
    if not uniform:
        known = (labels[order] != UNKNOWN).any(axis=1)
        order = order[np.argsort(~known, kind="stable")]
    return np.sort(order[:most])


def _zero_shot(
    recognizer: Recognizer,
    source: RegionSource,
    labels: Labels,
    recipe: Recipe,
    costly: NDArray[np.bool_],
    seed: int,
    share: float | Sequence[float] | None,
) -> tuple[tuple[PlattScaling, CommonScaling], Moments, Level]:
    chosen = sample_images(labels, SCALING_SAMPLE, seed, uniform=bool(costly.any()))
    kept, margins = predict_margins(recognizer, SelectedRegions(source, chosen))
    seen = labels[chosen][kept]
    moments = Moments.of(margins)
    scaling, common = fit_scaling(margins, seen, moments, recipe.unknown, costly)
    level: Level = "labels" if not costly.any() else "loss"
    wanted: float | NDArray[np.float64] | None = None if share is None else np.asarray(share, dtype=np.float64)
    if wanted is None and not (labels != UNKNOWN).any():
        wanted, level = assumed_share(labels.shape[1]), "assumed"
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
    costly: NDArray[np.bool_],
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
    useful = np.arange(len(labels)) if costly.any() else np.flatnonzero((labels != UNKNOWN).any(axis=1))
    chosen = useful[sample_images(labels[useful], PATH_SAMPLE, seed, uniform=bool(costly.any()))]
    kept, regions = held(SelectedRegions(source, chosen))
    with (reporter or Reporter()).progress("strengths of the prior tried") as say:
        choice = choose_strength(
            recognizer,
            regions,
            labels[chosen[kept]],
            moments,
            recipe,
            costly=costly,
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
    costly: NDArray[np.bool_],
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
        costly=tuple(costly.tolist()),
        level=level,
    )
