"""The cost of unknown labels: pure functions of the log odds z of presence, and their table.

With labels of both kinds, unknown labels are ignored. With positive-only labels (ticks, tags, one label per image) some
cost must stand for absence, else training predicts every class for every image. Letters: B images, C classes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["UNKNOWN_COSTS", "UnknownCost", "unknown_cost"]

ENTROPY_WEIGHT = 0.1
HILL_LAMBDA = 1.5
LARGEST_REJECTED = 0.1
SURELY_ABSENT = -30.0  # log odds of negligible cost, put at known labels while unknown ones are evaluated


@dataclass(frozen=True)
class UnknownCost:
    """One way to treat unknown labels.

    Attributes:
        summary: what it does, in a few words.
        source: where it was proposed.
        cost: (B, C) log odds of unknown labels, and the progress of training (0 to 1) → (B, C) costs.
    """

    summary: str
    source: str
    cost: Callable[[Tensor, float], Tensor]


def _ignore(odds: Tensor, progress: float) -> Tensor:  # noqa: ARG001
    return torch.zeros_like(odds)


def _absent(odds: Tensor, progress: float) -> Tensor:  # noqa: ARG001
    return softplus(odds)


def _weak(odds: Tensor, progress: float) -> Tensor:  # noqa: ARG001
    return softplus(odds) / max(odds.shape[1] - 1, 1)


def _hill(odds: Tensor, progress: float) -> Tensor:  # noqa: ARG001
    present = odds.sigmoid()
    return (HILL_LAMBDA - present) * present.square()


def _entropy(odds: Tensor, progress: float) -> Tensor:  # noqa: ARG001
    present = odds.sigmoid()
    return -ENTROPY_WEIGHT * (present * softplus(-odds) + (1 - present) * softplus(odds))


def _large_loss(odds: Tensor, progress: float) -> Tensor:
    cost = softplus(odds)
    rejected = math.ceil(cost.numel() * LARGEST_REJECTED * progress)
    if not rejected:
        return cost
    bound = cost.detach().flatten().topk(rejected).values[-1]
    return torch.where(cost < bound, cost, torch.zeros_like(cost))


UNKNOWN_COSTS: dict[str, UnknownCost] = {
    "ignore": UnknownCost(
        "costs nothing; needs known absent labels", "the paper, section 3; Durand et al., 2019", _ignore
    ),
    "absent": UnknownCost("counts as absent", "assume negative: Cole et al., 2021, loss_an in losses.py", _absent),
    "weak": UnknownCost(
        "counts as absent, at a weight of 1 / (C - 1)", "weak AN: Cole et al., 2021, loss_wan in losses.py", _weak
    ),
    "hill": UnknownCost(
        "(1.5 - p) p^2: absent, but not where the recognizer is sure of presence",
        "Zhang et al., 2021, Hill in robust-loss-mlml, src/loss_functions/losses.py",
        _hill,
    ),
    "entropy": UnknownCost(
        "is to stay uncertain: a tenth of the negative entropy",
        "EM loss without pseudo-labels: Zhou et al., 2022, loss_EM in losses.py",
        _entropy,
    ),
    "large-loss": UnknownCost(
        "counts as absent, without the largest costs of a batch: up to a tenth of them by the end",
        "LL-R: Kim et al., 2022, compute_batch_loss in LargeLossMatters, losses.py",
        _large_loss,
    ),
}


def unknown_cost(logits: Tensor, labels: Tensor, kind: str, progress: float = 1.0) -> Tensor:
    """The cost of unknown labels.

    Args:
        logits: (B, 2, C) float of one recognizer; 0 absence, 1 presence.
        labels: (B, C), any integer dtype; 1 present, 0 absent, anything else unknown.
        kind: a name of `UNKNOWN_COSTS`.
        progress: of training, 0 to 1.

    Returns:
        (B, C): zero where the label is known.
    """
    odds = logits[:, 1] - logits[:, 0]
    known = (labels == 1) | (labels == 0)
    cost = UNKNOWN_COSTS[kind].cost(torch.where(known, torch.full_like(odds, SURELY_ABSENT), odds), progress)
    return torch.where(known, torch.zeros_like(cost), cost)
