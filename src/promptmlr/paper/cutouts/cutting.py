"""Objects cut out of a photograph, and parts of it without objects."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from promptmlr.paper.cutouts.photos import Outline, Photo

__all__ = ["Piece", "pieces"]

_LEAST_SIDE = 24  # pixels of the photograph, of an object's box
_LEAST_AREA = 32 * 32  # pixels that an object shows: COCO calls less "small"
_LEAST_OWN = 0.6  # of an object, not covered by things of other classes
_LONGEST = 144  # pixels of a cut-out; twice the largest object of a scene
_LEAST_BACKGROUND = 96  # pixels of the photograph, of a background's side
_BACKGROUND = 192  # pixels that a background is stored with, at most
_BACKGROUNDS = 3  # of a photograph, at most
_STEP = 8  # pixels of the photograph: backgrounds lie on a grid
_FEATHER = 0.7  # pixels


class Piece(NamedTuple):
    """A cut-out with transparency; a background has no class and is opaque."""

    class_name: str
    image: Image.Image


def pieces(photo: Photo) -> Iterator[Piece]:
    """All objects of a photograph that can be cut out, and up to three backgrounds.

    An object must be outlined and large enough. What lies on it, an object of another class that is smaller, is cut
    away, and the object is left out if too little remains. A background is a square that no box of an annotated object
    touches.
    """
    image = photo.image.open()
    masks = [thing.mask(image.size) for thing in photo.objects]
    for number, thing in enumerate(photo.objects):
        own = masks[number] & ~_covering(photo.objects, masks, number)
        left, top, right, bottom = (round(side) for side in thing.box)
        large = min(right - left, bottom - top) >= _LEAST_SIDE and own.sum() >= _LEAST_AREA
        if thing.polygons and large and own.sum() >= _LEAST_OWN * masks[number].sum():
            yield Piece(thing.class_name, _cut(image, own, (left, top, right, bottom)))
    for square in _empty_squares(photo.objects, image.size):
        part = image.crop(square)
        part.thumbnail((_BACKGROUND, _BACKGROUND))
        yield Piece("", part)


def _covering(objects: tuple[Outline, ...], masks: list[NDArray[np.bool_]], number: int) -> NDArray[np.bool_]:
    """(H, W) where smaller things of other classes are."""
    own, size = objects[number].class_name, masks[number].sum()
    others = [mask for thing, mask in zip(objects, masks, strict=True) if thing.class_name != own and mask.sum() < size]
    return np.any(others, axis=0) if others else np.zeros_like(masks[number])


def _cut(image: Image.Image, mask: NDArray[np.bool_], box: tuple[int, int, int, int]) -> Image.Image:
    """The object with a soft edge."""
    opacity = Image.fromarray(np.uint8(255) * mask).filter(ImageFilter.GaussianBlur(_FEATHER))
    piece = image.copy()
    piece.putalpha(opacity)
    piece = piece.crop(box)
    piece.thumbnail((_LONGEST, _LONGEST))
    return piece


def _empty_squares(objects: tuple[Outline, ...], size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """The largest squares that no box touches, nor one another: left, top, right, bottom."""
    free = np.ones((size[1] // _STEP, size[0] // _STEP), np.bool_)
    for thing in objects:
        left, top, right, bottom = (side / _STEP for side in thing.box)
        free[max(0, int(top)) : int(np.ceil(bottom)), max(0, int(left)) : int(np.ceil(right))] = False
    for _ in range(_BACKGROUNDS):
        side, row, column = _largest_square(free)
        if side * _STEP < _LEAST_BACKGROUND:
            return
        free[row : row + side, column : column + side] = False
        yield column * _STEP, row * _STEP, (column + side) * _STEP, (row + side) * _STEP


def _largest_square(free: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Side, first row and first column of the largest square of true cells; side 0 if there is none."""
    sums = np.pad(free.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    for side in range(min(free.shape), 0, -1):
        full = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side] == side * side
        if full.any():
            row, column = np.argwhere(full)[0]
            return side, int(row), int(column)
    return 0, 0, 0
