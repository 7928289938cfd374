"""A proportion with its confidence interval."""

from dataclasses import dataclass
from math import nan, sqrt

__all__ = ["Share"]

_Z = 1.959963984540054  # the 97.5 % point of the normal distribution


@dataclass(frozen=True)
class Share:
    """`part` of `whole`, both counts."""

    part: int
    whole: int

    @property
    def value(self) -> float:
        """From 0 to 1; NaN if `whole` is 0."""
        return self.part / self.whole if self.whole else nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % score interval, from 0 to 1, for independent draws (Wilson 1927); NaN if `whole` is 0."""
        if not self.whole:
            return nan, nan
        weight = _Z**2 / self.whole  # of the pseudo-observations at one half, relative to the data
        centre = self.value + weight / 2
        half = sqrt(weight * self.value * (1 - self.value) + weight**2 / 4)
        return max((centre - half) / (1 + weight), 0.0), min((centre + half) / (1 + weight), 1.0)

    def __str__(self) -> str:
        """In percent, with its interval; two decimals, or as many as a small share needs."""
        low, high = self.interval
        return f"{_percent(self.value)} % ({_percent(low)} to {_percent(high)})"


def _percent(value: float) -> str:
    return f"{100 * value:.2f}" if value >= 0.001 or value == 0 else f"{100 * value:.2g}"
