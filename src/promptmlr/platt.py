"""Platt scaling that is learned together with the sides: from margins to log odds, per class.

Letters: B images, C classes.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

__all__ = ["PlattScaling"]

SPREAD_OF_LOG_SCALE = 0.5
SPREAD_OF_SHIFT = 1.0
"""Standard deviations of single classes around their prior values, and of the deviation that all classes share."""
COMMON_SPREAD_OF_LOG_SCALE = 0.7
COMMON_SPREAD_OF_SHIFT = 2.0


class PlattScaling(nn.Module):
    """Log odds z = exp(log_scale) · (margin − centre) + shift of C classes (Platt, 1999), with Gaussian priors.

    The deviation of a class from its prior values is the sum of a shared one, with standard deviations of 0.7 (log
    scale) and 2 (shift), and its own, with 0.5 and 1: partial pooling, so that a class with few labels follows the
    others.

    Args:
        log_scale: (C,) where the log scale starts.
        shift: (C,) where the shift starts.
        centre: (C,) margins that count as zero: with the mean margin, scale and shift hardly depend on each other.
        prior_log_scale: (C,) mean of the prior; None is `log_scale`.
        prior_shift: (C,) mean of the prior; None is `shift`.
    """

    rates: ClassVar[Mapping[str, str]] = {"log_scale": "scaling_rate", "shift": "scaling_rate"}

    def __init__(
        self,
        log_scale: Tensor,
        shift: Tensor,
        centre: Tensor,
        prior_log_scale: Tensor | None = None,
        prior_shift: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(log_scale.detach().clone())
        self.shift = nn.Parameter(shift.detach().clone())
        self.centre = nn.Buffer(centre.detach().clone())
        self.prior_log_scale = nn.Buffer((log_scale if prior_log_scale is None else prior_log_scale).detach().clone())
        self.prior_shift = nn.Buffer((shift if prior_shift is None else prior_shift).detach().clone())

    def forward(self, margins: Tensor) -> Tensor:
        """(B, C) margins → (B, C) log odds of presence."""
        return self.log_scale.exp() * (margins - self.centre) + self.shift

    @classmethod
    def joint(cls, scalings: Sequence[Self], margins: Tensor) -> Tensor:
        """Log odds of several scalings with their classes side by side: (B, ΣC) → (B, ΣC)."""
        log_scale, centre, shift = (
            torch.cat([getattr(scaling, name) for scaling in scalings]) for name in ("log_scale", "centre", "shift")
        )
        return log_scale.exp() * (margins - centre) + shift

    def penalty(self) -> Tensor:
        """Scalar: −log of the prior, up to a constant."""
        return self.penalty_of(self.log_scale - self.prior_log_scale, self.shift - self.prior_shift)

    @staticmethod
    def penalty_of(log_scale: Tensor, shift: Tensor) -> Tensor:
        """The penalty of (C,) deviations from the prior values."""
        return (
            _pooled(log_scale, SPREAD_OF_LOG_SCALE, COMMON_SPREAD_OF_LOG_SCALE)
            + _pooled(shift, SPREAD_OF_SHIFT, COMMON_SPREAD_OF_SHIFT)
        ) / 2

    def line(self) -> tuple[Tensor, Tensor]:
        """(C,) scale and (C,) shift in z = scale · margin + shift, without the centre."""
        scale = self.log_scale.detach().exp()
        return scale, self.shift.detach() - scale * self.centre

    def fold(self) -> "PlattScaling":
        """A detached copy."""
        return PlattScaling(self.log_scale, self.shift, self.centre, self.prior_log_scale, self.prior_shift)


def _pooled(deviations: Tensor, spread: float, common_spread: float) -> Tensor:
    common = deviations.mean()
    return ((deviations - common) / spread).square().sum() + (common / common_spread).square()
