"""What a grid compares: methods × observed labels × seeds, and the recipe of each cell."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from promptmlr.data.options import Benchmark
from promptmlr.errors import UserError
from promptmlr.labels import Labels
from promptmlr.paper.grid.observed import Observed, observation_of
from promptmlr.paper.grid.results import EmptyClasses
from promptmlr.recipes import Recipe, load_recipe

__all__ = ["ZERO_SHOT", "Condition", "Grid", "reference_of", "with_zero_shot"]

ZERO_SHOT = "zeroshot"  # the method that all others must beat: nothing is trained

Condition = tuple[Observed, int]  # observed labels, seed


@dataclass(frozen=True)
class Grid:
    """What is compared.

    Attributes:
        methods: names of `METHODS`.
        observed: which labels training sees: fractions, or names of other protocols (`grid.observed`).
        seeds: how many seeds, 0, 1, …; each hides labels and draws random starts anew.
        order_seed: of the order of images, common to all cells.
        recipe: a name or a TOML file.
        changes: what replaces the recipe's values.
        benchmark: which of the paper's data sets this is, if any: recipes may differ between them.
        select: which epoch is scored: the last, the best on the test images, or the best on training images that are
            held out with all their labels (`folds.hold_out_images`).
        unseen: classes of which training sees no label.
        empty_classes: how the scores count classes that no test image shows. Cells leave them out in any case.
    """

    methods: Sequence[str]
    observed: Sequence[Observed]
    seeds: int
    order_seed: int
    recipe: str
    changes: Mapping[str, Any]
    benchmark: Benchmark | None = None
    select: Literal["last", "test", "val"] = "last"
    unseen: Sequence[str] = ()
    empty_classes: EmptyClasses = "left-out"

    @property
    def conditions(self) -> list[Condition]:
        """Observed labels and seed of every cell of a method."""
        return list(itertools.product(self.observed, range(self.seeds)))

    def recipes(self, labels: Labels | None = None) -> dict[tuple[str, Observed], Recipe]:
        """(method, observed) → its recipe.

        Args:
            labels: (N, C) int8 before any are hidden. Where `observed` names a protocol instead of a fraction, its
                share of these labels is counted; None is enough for fractions.
        """
        return {
            (method, seen): load_recipe(
                self.recipe, method, observed=_share(seen, labels), benchmark=self.benchmark, **self.changes
            )
            for method in self.methods
            for seen in self.observed
        }


def with_zero_shot(methods: Sequence[str]) -> list[str]:
    """The methods, with zero-shot added at the end unless it is among them."""
    return [*methods, *([] if ZERO_SHOT in methods else [ZERO_SHOT])]


def reference_of(methods: Sequence[str], reference: str | None) -> str:
    """The method that the others are compared with: the one that was named, or the first.

    Raises:
        UserError: it is not among them.
    """
    if reference is not None and reference not in methods:
        raise UserError(f"--reference {reference!r} is none of the compared methods: {', '.join(methods)}")
    return reference or methods[0]


def _share(observed: Observed, labels: Labels | None) -> float:
    """The share of labels that decides the recipe: a fraction as it is, else the share that the protocol leaves."""
    if isinstance(observed, float):
        return observed
    assert labels is not None
    return observation_of(observed).share(labels)
