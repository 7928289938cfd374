"""From seconds of parts to the time of the paper's table on COCO 2014: what bench/gpu.py projects, and how.

A table is its stacks, each so many epochs of ceil(N / B) steps and, after each epoch, a scoring of the test images, of
which `reproduce` takes the best epoch. A prior begins with the choice of its strength. The tower comes on top: with new
views in every epoch, as released, each stack sends all training images through it in every epoch; with
`--augmentation none` it sees them once. The test images go through it once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from promptmlr.paper.cost.measuring import RELEASED_METHODS
from promptmlr.recipes import Recipe, load_recipe

__all__ = ["Projection", "Stack", "StackSeconds", "projected", "stacks_of"]


@dataclass(frozen=True)
class Stack:
    """Cells of a method that `promptmlr reproduce` trains at once, as `promptmlr.paper.grid.compare` groups them."""

    method: str
    observed: tuple[float, ...]
    recipes: tuple[Recipe, ...]

    @property
    def shape(self) -> tuple[object, ...]:
        """What its cost per step depends on."""
        first = self.recipes[0]
        return self.method, first.batch_size, first.has_prior, tuple(recipe.class_specific for recipe in self.recipes)


def stacks_of(method: str, observed: Sequence[float]) -> list[Stack]:
    """The paper's methods by the released recipe, the others by the default one."""
    source = "released" if method in RELEASED_METHODS else "default"
    groups: dict[object, list[tuple[float, Recipe]]] = {}
    for share in observed:
        recipe = load_recipe(source, method, observed=share, benchmark="coco2014")
        alike = share if recipe.has_prior else (recipe.batch_size, recipe.epochs, recipe.augmentation, recipe.views)
        groups.setdefault(alike, []).append((share, recipe))
    return [Stack(method, *zip(*cells, strict=True)) for cells in groups.values()]


@dataclass(frozen=True)
class StackSeconds:
    """Measured seconds of a stack: of a step, of scoring after an epoch, and of all that comes before the first."""

    step: float
    scoring: float
    beginning: float


@dataclass(frozen=True)
class Projection:
    """Hours of some stacks.

    Attributes:
        training: of all steps, and of choosing strengths.
        scoring: of the test images after every epoch.
        views_encoded: images through the tower with new views in every epoch.
        once_encoded: the same without augmentation.
        views_tower: hours of the tower for the former.
        once_tower: hours of the tower for the latter.
        unmeasured: cells that these hours leave out.
    """

    training: float
    scoring: float
    views_encoded: int
    once_encoded: int
    views_tower: float
    once_tower: float
    unmeasured: tuple[str, ...]


def projected(
    stacks: Sequence[Stack],
    measured: Mapping[tuple[object, ...], StackSeconds],
    images: int,
    test_images: int,
    images_per_second: float | None,
) -> Projection:
    """Hours of these stacks, from measurements by their `shape`, and from the tower's rate, if that was measured."""
    there = [stack for stack in stacks if stack.shape in measured]
    training = scoring = 0.0
    views = test_images
    for stack in there:
        recipe, found = stack.recipes[0], measured[stack.shape]
        training += recipe.epochs * math.ceil(images / recipe.batch_size) * found.step + found.beginning
        scoring += recipe.epochs * found.scoring
        new = recipe.augmentation != "none" and recipe.views == "exact"
        views += recipe.epochs * images if new else 0
    if all(stack.recipes[0].augmentation == "none" for stack in there):
        views += images
    once = images + test_images
    hours_per_image = 0.0 if images_per_second is None else 1 / images_per_second / 3600
    missing = [f"{stack.method} at {share:.0%}" for stack in stacks if stack not in there for share in stack.observed]
    return Projection(
        training / 3600,
        scoring / 3600,
        views,
        once,
        views * hours_per_image,
        once * hours_per_image,
        (*missing, *(["the image tower"] if images_per_second is None else [])),
    )
