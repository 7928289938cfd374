"""How large an effect a design can see: the minimal detectable effect, from the spread of a pilot."""

from dataclasses import dataclass
from math import sqrt

from scipy.optimize import brentq
from scipy.stats import nct
from scipy.stats import t as student

__all__ = ["LEVEL", "POWER", "Spread", "minimal_detectable"]

LEVEL = 0.05  # of all comparisons together
POWER = 0.8


@dataclass(frozen=True)
class Spread:
    """Standard deviations of an effect, in any unit.

    Attributes:
        masks: between masks.
        images: of the mean over masks, between samples of test images.
    """

    masks: float
    images: float

    def over(self, conditions: float) -> "Spread":
        """That of the mean over so many conditions whose errors are independent."""
        return Spread(self.masks / sqrt(conditions), self.images / sqrt(conditions))


def minimal_detectable(spread: Spread, seeds: int, *, level: float = LEVEL, power: float = POWER) -> float:
    """The true effect that a two-sided test finds with a given probability.

    The mean over K masks has the variance masks² / K + images². Its degrees of freedom are K − 1 where masks are all of
    it and more where test images add to it (Satterthwaite, 1946); the power is that of the t-test, by the noncentral t
    distribution.

    Args:
        spread: of the effect.
        seeds: K, at least two.
        level: of the test.
        power: the probability.
    """
    by_masks = spread.masks**2 / seeds
    variance = by_masks + spread.images**2
    if variance == 0:
        return 0.0
    freedom = min((seeds - 1) * (variance / by_masks) ** 2, 1e6) if by_masks else 1e6
    critical = student.ppf(1 - level / 2, freedom)

    def missed(shift: float) -> float:
        return float(nct.cdf(critical, freedom, shift)) - (1 - power)

    return float(brentq(missed, 0.0, 4 * critical + 10)) * sqrt(variance)
