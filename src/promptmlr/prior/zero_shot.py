"""CLIP's zero-shot as log odds: a scale and a shift per class, fitted on few labels or none.

CLIP's margins differ more between classes than their prevalences do. Unlabelled images show part of this: a class with
a high mean margin, or a large spread, often has a name that CLIP responds to strongly rather than a high prevalence.
How much of it is removed (`centring`, `evening`) are two of four numbers that all classes share, for which a few labels
are enough; classes deviate from these under Gaussian priors (`promptmlr.platt`).

Letters: N images, C classes.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from promptmlr.functional import cross_entropy_cost
from promptmlr.labels import UNKNOWN, Labels
from promptmlr.platt import PlattScaling
from promptmlr.threads import threads_for
from promptmlr.unknown import unknown_cost

__all__ = ["CommonScaling", "Moments", "assumed_share", "fit_scaling", "level_shift"]

LABELS_PER_IMAGE = 2.0  # assumed number of present classes per image if it is unknown,
MOST_SHARE = 0.2  # but not more than a fifth of the images of a class
LEAST_SPREAD = 1e-3  # of margins: one image has none
PRECISE = {"gtol": 1e-3, "ftol": 1e-9, "maxcor": 50}  # lines are then found to 1e-3

CENTRES = (-0.4, None, 0.7, 0.7)
SPREADS = (0.7, 2.0, 0.5, 0.5)
"""Of the priors of log scale, shift (around the assumed share), centring and evening: near what many labels say on
drawn worlds and on ViT-B/32's features, with margins of 100 times a difference of cosines."""


@dataclass(frozen=True)
class Moments:
    """Mean and spread of margins on unlabelled images.

    Attributes:
        mean: (C,) mean margin.
        log_spread: (C,) log of its standard deviation.
        scale: of the odds that the tower itself learned, per cosine; CLIP's is 100, as margins have it.
        share: how often classes are present by these odds; None where the tower has none, and two per image are.
    """

    mean: Tensor
    log_spread: Tensor
    scale: float = 100.0
    share: float | None = None

    @classmethod
    def of(cls, margins: NDArray[np.float64]) -> "Moments":
        """The moments of (N, C) margins."""
        found = torch.from_numpy(margins).double()
        return cls(found.mean(dim=0), found.std(dim=0, correction=0).clamp(min=LEAST_SPREAD).log())


@dataclass(frozen=True)
class CommonScaling:
    """The scaling that all classes share; a class without labels follows from it.

    Attributes:
        log_scale: log scale for a class of mean spread.
        shift: log odds at the mean margin of all classes.
        centring: share of the deviation of a class's mean margin from that of all classes that is removed, 0 to 1.
        evening: share of the differences of spread that is divided out, 0 to 1.
        mean: mean over classes of the mean margin.
        log_spread: mean over classes of the log standard deviation.
    """

    log_scale: float
    shift: float
    centring: float
    evening: float
    mean: float
    log_spread: float

    def lines(self, moments: Moments) -> tuple[Tensor, Tensor]:
        """(C,) log scale, and (C,) log odds at the mean margin of each class."""
        log_scale = self.log_scale - self.evening * (moments.log_spread - self.log_spread)
        return log_scale, self.shift + log_scale.exp() * (1 - self.centring) * (moments.mean - self.mean)


def assumed_share(classes: int) -> float:
    """Assumed prevalence of a class if it is unknown: two classes per image, at most one fifth."""
    return min(LABELS_PER_IMAGE / classes, MOST_SHARE)


def fit_scaling(
    margins: NDArray[np.float64],
    labels: Labels,
    moments: Moments,
    unknown: str = "ignore",
    counted: NDArray[np.bool_] | None = None,
) -> tuple[PlattScaling, CommonScaling]:
    """The maximum a posteriori scale and shift of every class, and the scaling that they share.

    Args:
        margins: (N, C) float64.
        labels: (N, C) int8; all may be unknown.
        moments: of margins of the same classes, on any images.
        unknown: the cost of unknown labels, a name of `UNKNOWN_COSTS`.
        counted: (C,) classes whose unknown labels have that cost; None means all.
    """
    classes = labels.shape[1]
    share = assumed_share(classes) if moments.share is None else moments.share
    odds_assumed = math.log(share / (1 - share))
    centres = torch.tensor([odds_assumed if centre is None else centre for centre in CENTRES], dtype=torch.float64)
    centres[0] += math.log(moments.scale / 100)
    spreads = torch.tensor(SPREADS, dtype=torch.float64)
    means = float(moments.mean.mean()), float(moments.log_spread.mean())
    known = labels != UNKNOWN
    everywhere = np.zeros(classes, dtype=np.bool_) if unknown == "ignore" else np.ones(classes, dtype=np.bool_)
    columns = everywhere if counted is None else everywhere & counted
    seen = np.flatnonzero(known.any(axis=1) | columns.any())
    found, codes = torch.from_numpy(margins[seen]).double(), torch.from_numpy(labels[seen])
    weights = torch.from_numpy(columns.astype(np.float64))

    def lines(common: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift, centring, evening = common.unbind()
        return CommonScaling(log_scale, shift, centring, evening, *means).lines(moments)  # type: ignore[arg-type]

    def cost(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        at = torch.from_numpy(point).requires_grad_()
        common, own = at[: len(CENTRES)], at[len(CENTRES) :].reshape(2, classes)
        log_scale, shift = lines(common)
        odds = (log_scale + own[0]).exp() * (found - moments.mean) + shift + own[1]
        logits = torch.stack([-odds / 2, odds / 2], dim=1)
        total = cross_entropy_cost(logits, codes).sum() + ((common - centres) / spreads).square().sum() / 2
        if columns.any():
            total = total + (unknown_cost(logits, codes, unknown) * weights).sum()
        total = total + PlattScaling.penalty_of(own[0], own[1])
        total.backward()
        assert at.grad is not None
        return float(total.detach()), at.grad.numpy()

    point = np.concatenate([centres, np.zeros(2 * classes)])
    if len(seen):
        with threads_for(found.numel()):
            point = minimize(cost, point, jac=True, method="L-BFGS-B", options=PRECISE).x
    common, own = torch.from_numpy(point[: len(CENTRES)]), torch.from_numpy(point[len(CENTRES) :]).reshape(2, classes)
    log_scale, shift = lines(common)
    fitted = [part.float() for part in (log_scale + own[0], shift + own[1], moments.mean, log_scale, shift)]
    common[:2] += own.mean(dim=1)  # what all classes have of their own is common
    first, second, third, fourth = common.tolist()
    return PlattScaling(*fitted), CommonScaling(first, second, third, fourth, *means)


def level_shift(odds: NDArray[np.float64], share: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The shift of (N, C) log odds that makes the expected prevalence equal to a known one.

    Args:
        odds: (N, C) log odds.
        share: prevalence over all cells, or (C,) of each class, in (0, 1).

    Returns:
        (C,); the same number for all classes if `share` is one number.
    """
    wanted = np.broadcast_to(share, odds.shape[1])
    low, high = np.full(odds.shape[1], -60.0), np.full(odds.shape[1], 60.0)
    for _ in range(60):
        middle = (low + high) / 2
        found = (1 / (1 + np.exp(-np.clip(odds + middle, -700, 700)))).mean(axis=0)
        found = np.full_like(found, found.mean()) if np.ndim(share) == 0 else found
        low, high = np.where(found < wanted, middle, low), np.where(found < wanted, high, middle)
    shift: NDArray[np.float64] = (low + high) / 2
    return shift
