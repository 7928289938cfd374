"""What is published of pretrained weights: their licence, their languages and how they score without labels.

`weights.csv` has a row for each name and tag of open_clip's, and a source for each fact; what no source that was read
says is blank.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["FREE", "Weights", "published"]

FREE = frozenset({"MIT", "Apache-2.0"})
"""Licences that allow any use, a commercial one too."""


@dataclass(frozen=True)
class Weights:
    """Facts about one set of weights; "" and None are unknown.

    Attributes:
        name: the model, as open_clip names it.
        tag: its weights.
        licence: of the weights.
        licence_source: the address that says so.
        languages: of the texts that they know: "English" or "many".
        imagenet: zero-shot accuracy on ImageNet, in %.
        voc2007: zero-shot accuracy on the objects of VOC2007, in %.
        results_source: the address of these numbers.
    """

    name: str
    tag: str
    licence: str = ""
    licence_source: str = ""
    languages: str = ""
    imagenet: float | None = None
    voc2007: float | None = None
    results_source: str = ""

    @property
    def is_free(self) -> bool:
        """Whether anything may be done with them."""
        return self.licence in FREE

    @property
    def score(self) -> float | None:
        """The mean of both accuracies, in %, where both are known."""
        return None if self.imagenet is None or self.voc2007 is None else (self.imagenet + self.voc2007) / 2


@cache
def published() -> dict[tuple[str, str], Weights]:
    """(name, tag) → what is known."""
    with files("promptmlr.backbone").joinpath("weights.csv").open(encoding="utf-8") as file:
        rows = [_weights(row) for row in csv.DictReader(file)]
    return {(row.name, row.tag): row for row in rows}


def _weights(row: dict[str, str]) -> Weights:
    numbers = {key: float(row[key]) if row[key] else None for key in ("imagenet", "voc2007")}
    return Weights(**{**row, **numbers})  # type: ignore[arg-type]
