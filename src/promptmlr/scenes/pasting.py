"""Sprites, and a collage that they are pasted on so that each stays in view."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptmlr.scenes.world import IMAGE_SIZE, RGB

__all__ = ["Bools", "Box", "Collage", "Floats", "Sprite", "blend", "cuts", "free_corner", "pick"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are exclusive."""

_LEAST_IN_VIEW = 0.65  # least share of an object that must be visible
_PLACES = 12  # places tried for an object before it is left out
_BLACK = (0, 0, 0)


@dataclass(frozen=True, eq=False)
class Sprite:
    """What is pasted: its opacity, the part of its colour that is tinted, and the part that is fixed."""

    opacity: Floats  # (H, W, 1) in [0, 1]
    tint: Floats  # (H, W, 1), times opacity
    paint: Floats  # (H, W, 3) in [0, 255], times opacity

    @functools.cached_property
    def mask(self) -> Bools:
        """(H, W) where it hides what lies behind."""
        return self.opacity[..., 0] > 0.5

    def mirrored(self) -> "Sprite":
        """The same with left and right swapped."""
        return Sprite(self.opacity[:, ::-1], self.tint[:, ::-1], self.paint[:, ::-1])


class Collage:
    """Objects before a backdrop.

    Args:
        canvas: (S, S, 3) the backdrop, which is painted over.
    """

    def __init__(self, canvas: Floats) -> None:
        self.canvas = canvas
        self._owners = np.full((IMAGE_SIZE, IMAGE_SIZE), -1, np.int8)
        self._areas: list[int] = []

    def paste(self, rng: np.random.Generator, sprite: Sprite, colour: RGB = _BLACK) -> Box | None:
        """Paste a sprite at a random place before all others; None where they would no longer be in view."""
        corner = free_corner(rng, sprite.mask, self._owners, self._areas)
        if corner is None:
            return None
        blend(self.canvas, sprite, corner, colour)
        (left, top), (height, width) = corner, sprite.mask.shape
        self._owners[top : top + height, left : left + width][sprite.mask] = len(self._areas)
        self._areas.append(int(sprite.mask.sum()))
        return left, top, left + width, top + height

    def developed(self, light: float) -> NDArray[np.uint8]:
        """(S, S, 3) uint8, every value times `light`."""
        return np.asarray(np.clip(self.canvas * light, 0, 255), np.uint8)


def free_corner(
    rng: np.random.Generator, mask: Bools, owners: NDArray[np.int8], areas: list[int]
) -> tuple[int, int] | None:
    """A left and top corner at which all earlier objects stay visible enough; None if there is none."""
    height, width = mask.shape
    in_view = np.bincount(owners[owners >= 0], minlength=len(areas))
    for _ in range(_PLACES):
        left, top = int(rng.integers(IMAGE_SIZE - width + 1)), int(rng.integers(IMAGE_SIZE - height + 1))
        covered = owners[top : top + height, left : left + width][mask]
        hidden = np.bincount(covered[covered >= 0], minlength=len(areas))
        if np.all(in_view - hidden >= _LEAST_IN_VIEW * np.asarray(areas)):
            return left, top
    return None


def blend(canvas: Floats, sprite: Sprite, corner: tuple[int, int], colour: RGB, strength: float = 1.0) -> None:
    """Paint a sprite in a colour over a part of the canvas."""
    (left, top), (height, width) = corner, sprite.mask.shape
    patch = canvas[top : top + height, left : left + width]
    patch *= 1 - strength * sprite.opacity
    patch += strength * (sprite.tint * np.asarray(colour, np.float32) + sprite.paint)


def cuts(weights: list[float]) -> Floats:
    """Upper ends of the intervals of [0, 1) that belong to each weight."""
    return np.asarray(np.cumsum(weights) / np.sum(weights), np.float32)


def pick(rng: np.random.Generator, cuts: Floats) -> int:
    """Which of the intervals a random number falls into."""
    return min(int(np.searchsorted(cuts, rng.random(), side="right")), len(cuts) - 1)
