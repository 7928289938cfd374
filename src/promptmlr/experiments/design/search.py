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

    Attributes:
        epochs: to begin with; rates are chosen at these.
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
        plateau: whether doubling them gained less than the rule's `gain`; else they are the rule's most.
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
    trials: list[Trial] = []

    def scores(factors: Sequence[float], epochs: int) -> list[float]:
        found = [float(score) for score in train(factors, epochs)]
        trials.extend(Trial(factor, epochs, score) for factor, score in zip(factors, found, strict=True))
        return found

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
    while 2 * epochs <= rule.most_epochs:
        [longer] = scores([best], 2 * epochs)
        if longer - score < rule.gain:
            return Choice(best, epochs, True, tuple(trials))
        epochs, score = 2 * epochs, longer
    return Choice(best, epochs, False, tuple(trials))
