"""Estimates in the tables of all experiments: as text, as CSV columns, and with Holm's correction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from promptmlr.report.tables import percent_interval, signed
from promptmlr.uncertainty import Estimate, holm

__all__ = ["Corrected", "corrected", "ends", "percent", "points", "spread"]


def percent(found: Estimate) -> str:
    """A score in 0..1 as "64.1 (62.9 to 65.3)"."""
    return percent_interval(found.value, found.low, found.high)


def points(found: Estimate) -> str:
    """A difference of scores in 0..1 as "+3.0 (+2.1 to +3.9)"."""
    value, low, high = (signed(100 * end) for end in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def ends(found: Estimate, name: str) -> dict[str, float]:
    """Value and interval as columns of a record; under the name "points" they are multiplied by 100."""
    factor = 100 if name == "points" else 1
    return {name: factor * found.value, "low": factor * found.low, "high": factor * found.high}


def spread(seeds: int, images: str = "test images") -> str:
    """What the intervals of a grid cover, in words."""
    return f"{images} and {seeds} seeds" if seeds > 1 else f"{images} alone, as there is one seed"


@dataclass(frozen=True)
class Corrected:
    """A difference in mAP (0..1) in a table of several; subclasses add the fields that identify it.

    Attributes:
        estimate: the difference with its own interval.
        p_holm: its p-value, corrected for all differences of the table (Holm).
    """

    estimate: Estimate
    p_holm: float

    more: ClassVar[str] = "higher"
    less: ClassVar[str] = "lower"

    @property
    def verdict(self) -> str:
        """`more`, `less` or undecided, given all differences of the table."""
        return self.estimate.verdict(self.p_holm, self.more, self.less)

    def __str__(self) -> str:
        """Points and verdict."""
        return f"{points(self.estimate)} {self.verdict}"

    def record(self, name: str) -> dict[str, Any]:
        """Its columns; `name` as in `ends`."""
        found = {"p": self.estimate.p, "p_holm": self.p_holm, "verdict": self.verdict}
        return ends(self.estimate, name) | found


Kind = TypeVar("Kind", bound=Corrected)


def corrected(kind: Callable[..., Kind], table: Sequence[tuple[Estimate, *tuple[Any, ...]]]) -> list[Kind]:
    """Instances of `kind` with corrected p-values, from rows of an estimate and the other fields of `kind`."""
    adjusted = holm([found.p for found, *_ in table])
    return [kind(found, p, *rest) for (found, *rest), p in zip(table, adjusted, strict=True)]
