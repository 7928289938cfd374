"""From cells to effects: paired by mask and test image, with what the pilot could have seen.

Letters: K masks, S resamples of the test images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from promptmlr.paper.claim.plan import (
    COMPARISONS,
    SIDES,
    ZERO_SHOT,
    Condition,
    Pair,
    Plan,
    Side,
    cell_name,
    effect,
    pair_name,
)
from promptmlr.paper.claim.power import LEVEL, POWER, Spread, minimal_detectable
from promptmlr.paper.estimates import Corrected, corrected
from promptmlr.paper.grid.folder import GridFolder
from promptmlr.uncertainty import Estimate, estimate

__all__ = ["Detectable", "Effect", "detectable", "gain", "pre_stated", "side_effect"]

Weights = Mapping[tuple[str, Condition], float]  # (row, condition) → weight


@dataclass(frozen=True)
class Detectable:
    """The least true effect, in points of mAP, that is found with a probability of 80 %: a line of `power.csv`.

    Attributes:
        side: whose effect it is.
        of: the quantity.
        masks: standard deviation of the effect between masks, in points, in the pilot.
        images: that of its mean between samples of test images.
        alone: as the only comparison, at a level of 5 %.
        among_all: with the first step of Holm's correction for all comparisons.
    """

    side: Side
    of: str
    masks: float
    images: float
    alone: float
    among_all: float

    def __str__(self) -> str:
        """In words."""
        return (
            f"{self.side}, {self.of}: {100 * POWER:.0f} % power for a true {self.alone:.2f} points alone, "
            f"{self.among_all:.2f} among all comparisons"
        )


@dataclass(frozen=True)
class Effect(Corrected):
    """A pre-stated comparison: its side, and what changes."""

    side: Side
    name: str


def side_effect(folder: GridFolder, seeds: int, side: Side, conditions: Mapping[Condition, float]) -> Estimate:
    """Prompt − embedding on a side, as a weighted sum over conditions.

    Args:
        folder: the cells.
        seeds: K.
        side: whose kind is changed; the mean over both kinds of the other side.
        conditions: condition → its weight.
    """
    return estimate(*_arrays(folder, seeds, _rows(effect(side), conditions)))


def gain(folder: GridFolder, seeds: int, pair: Pair, conditions: Mapping[Condition, float]) -> Estimate:
    """A pair of sides − zero-shot, as a weighted sum over conditions."""
    less = {(ZERO_SHOT, condition): -weight for condition, weight in conditions.items()}
    return estimate(*_arrays(folder, seeds, {**less, **_rows({pair: 1.0}, conditions)}))


def pre_stated(plan: Plan, folder: GridFolder) -> list[Effect]:
    """All of `COMPARISONS` for both sides, corrected together."""
    table = [
        (side_effect(folder, plan.seeds, side, comparison.weights(plan)), side, comparison.name)
        for side in SIDES
        for comparison in COMPARISONS
    ]
    return corrected(Effect, table)


def detectable(plan: Plan, folder: GridFolder) -> list[Detectable]:
    """What the pilot's spread lets each side's comparisons see, where the errors of conditions are independent."""
    comparisons = len(COMPARISONS) * len(SIDES)
    found = []
    for side in SIDES:
        spread = _spread(folder, plan, side)
        for name, conditions in _sizes(plan).items():
            own = spread.over(conditions)
            levels = [100 * minimal_detectable(own, plan.seeds, level=LEVEL / tests) for tests in (1, comparisons)]
            found.append(Detectable(side, name, 100 * own.masks, 100 * own.images, *levels))
    return found


def _sizes(plan: Plan) -> dict[str, float]:
    """Quantity → over how many independent conditions its variance is shared; of one condition that is 1."""
    sizes: dict[str, float] = {"one condition": 1.0}
    for comparison in COMPARISONS:
        squares = sum(weight**2 for weight in comparison.weights(plan).values())
        sizes[comparison.name] = 1 / squares
    return sizes


def _spread(folder: GridFolder, plan: Plan, side: Side) -> Spread:
    scores, resampled, weights = _arrays(folder, plan.seeds, _rows(effect(side), {plan.pilot: 1.0}))
    by_seed = np.einsum("g,gk->k", weights, scores)
    by_image = np.einsum("g,gks->s", weights, resampled) / plan.seeds
    return Spread(float(by_seed.std(ddof=1)), float(np.nanstd(by_image)))


def _rows(pairs: Mapping[Pair, float], conditions: Mapping[Condition, float]) -> Weights:
    return {
        (pair_name(pair), condition): weight * share
        for pair, weight in pairs.items()
        for condition, share in conditions.items()
    }


def _arrays(folder: GridFolder, seeds: int, weights: Weights) -> tuple[Any, Any, Any]:
    """(G, K) scores, (G, K, S) resampled scores and (G,) weights of the cells that have one."""
    names = [(cell_name(row, condition), condition.observed) for row, condition in weights]
    keys = [[(name, observed, seed, "all") for seed in range(seeds)] for name, observed in names]
    scores = np.array([[folder.cells[key].mean_ap for key in row] for row in keys])
    resampled = np.array([[folder.resampled[key] for key in row] for row in keys])
    return scores, resampled, np.array(list(weights.values()))
