"""How long and how fast a cell is trained: one rule for all cells, on held-out observed labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Choice", "Rule", "Trial", "choose"]

STEP = 4.0  # between neighbouring rates


@dataclass(frozen=True)
class Rule:
    """The rule.

    1. Rates: the recipe's, and a fourth and four times of them; while the best is the last on its side, one more on
       that side, at most `extensions` times.
    2. Epochs: doubled until that gains less than `gain`; a cell is then at its plateau, and keeps the smaller number.
    3. Rates once more: a rate that is best after few epochs may end lower than a smaller one. Where a fourth or four
       times of the rates gains at least `gain` at that many epochs, it is taken, and 2 and 3 follow again.

    Attributes:
        epochs: to begin with; rates are first chosen at these.
        most_epochs: where doubling ends, plateau or not.
        gain: of mAP in 0..1.
        extensions: see above.
        held_out: share of the observed labels that rates and epochs are scored on.
        seeds: how many masks and starts they are averaged over.
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
    """What the rule found.

    Attributes:
        factor: on the recipe's rates.
        epochs: to train.
        plateau: whether doubling them gained less than the rule's `gain`; else they are all that the rule allows.
        trials: all that was trained, in order.
    """

    factor: float
    epochs: int
    plateau: bool
    trials: tuple[Trial, ...]


def choose(train: Callable[[Sequence[float], int], Sequence[float]], rule: Rule) -> Choice:
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
