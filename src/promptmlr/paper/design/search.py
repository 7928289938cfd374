"""The search of learning rates and epochs: one rule for all cells, on held-out observed labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Choice", "SearchRule", "Trial", "choose"]

STEP = 4.0  # factor between neighbouring rates


@dataclass(frozen=True)
class SearchRule:
    """How rates and epochs are searched.

    1. Rates: a fourth of the recipe's, the recipe's, and four times these; while the best is the smallest or largest
       tried, one more beyond it, at most `extensions` times.
    2. Epochs: doubled until that gains less than `gain`; the cell has then reached its plateau and keeps the smaller
       number.
    3. Rates once more, because the best rate after few epochs may not be the best after many. If a fourth or four times
       the rates gains at least `gain` at that many epochs, it is chosen, and 2 and 3 are repeated.

    Attributes:
        epochs: at which rates are first chosen.
        most_epochs: limit of the doubling.
        gain: of mAP, in 0..1.
        extensions: limit of further rates in step 1.
        held_out: share of the observed labels on which rates and epochs are scored.
        seeds: number of masks and starts that scores are averaged over.
    """

    epochs: int = 20
    most_epochs: int = 160
    gain: float = 0.005
    extensions: int = 2
    held_out: float = 0.2
    seeds: int = 3


@dataclass(frozen=True)
class Trial:
    """One training of the search: rates times `factor`, `epochs`, and the mean held-out mAP."""

    factor: float
    epochs: int
    held_out_map: float


@dataclass(frozen=True)
class Choice:
    """The rates and epochs that the rule chose.

    Attributes:
        factor: on the recipe's rates.
        epochs: to train.
        plateau: whether doubling the epochs gained less than the rule's `gain`; else they are the rule's maximum.
        trials: all trainings of the search, in order.
    """

    factor: float
    epochs: int
    plateau: bool
    trials: tuple[Trial, ...]


def choose(train: Callable[[Sequence[float], int], Sequence[float]], rule: SearchRule) -> Choice:
    """Apply the rule.

    Args:
        train: (factors, epochs) → the mean held-out mAP of each.
        rule: the rule.
    """
    trials: dict[tuple[float, int], Trial] = {}

    def scores(factors: Sequence[float], epochs: int) -> list[float]:
        missing = [factor for factor in factors if (factor, epochs) not in trials]
        for factor, score in zip(missing, train(missing, epochs) if missing else [], strict=True):
            trials[factor, epochs] = Trial(factor, epochs, float(score))
        return [trials[factor, epochs].held_out_map for factor in factors]

    factors = [1 / STEP, 1.0, STEP]
    by_factor = dict(zip(factors, scores(factors, rule.epochs), strict=True))
    for _ in range(rule.extensions):
        best = max(by_factor, key=lambda factor: by_factor[factor])
        if best not in (min(by_factor), max(by_factor)):
            break
        further = best / STEP if best == min(by_factor) else best * STEP
        [by_factor[further]] = scores([further], rule.epochs)
    best = max(by_factor, key=lambda factor: by_factor[factor])

    epochs, score = rule.epochs, by_factor[best]
    while True:
        plateau = False
        while not plateau and 2 * epochs <= rule.most_epochs:
            [longer] = scores([best], 2 * epochs)
            plateau = longer - score < rule.gain
            if not plateau:
                epochs, score = 2 * epochs, longer
        neighbours = [best / STEP, best * STEP]
        better, found = max(zip(scores(neighbours, epochs), neighbours, strict=True))
        if better - score < rule.gain:
            return Choice(best, epochs, plateau, tuple(trials.values()))
        best, score = found, better
