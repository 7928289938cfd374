"""Scenes of cut-outs: objects of photographs pasted before parts of other photographs.

A folder of cut-outs holds PNG files with transparency, and `attribution.csv` with a row for each: its file, its split
(train or test), its class (blank: a background, in which nobody saw an object of any class), and the photograph it was
cut from with licence and address. Train and test have no photograph in common. `promptmlr cut-out` makes such a folder.

What a scene holds is drawn like a drawn scene's content, with photographs for themes: most objects are of classes that
one photograph for training shows together.
"""

import csv
import functools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from promptmlr.errors import UserError
from promptmlr.scenes.drawing import Scene, SceneObject
from promptmlr.scenes.pasting import Collage, Floats, Sprite, cuts, pick
from promptmlr.scenes.world import IMAGE_SIZE, World

__all__ = ["ATTRIBUTION", "COLUMNS", "SPLITS", "Cutout", "CutoutWorld", "read_cutouts"]

ATTRIBUTION = "attribution.csv"
COLUMNS = ("file", "split", "class", "photo", "licence", "url")
SPLITS = ("train", "test")

_WORLD = World(object_sizes=(36, 44, 52, 60, 72))
_BLURRED = 0.3  # share of the objects out of focus
_MOST_BLUR = 1.2  # pixels
_MOST_TURN = 12.0  # degrees


class Cutout(NamedTuple):
    """A row of `attribution.csv`."""

    file: str
    split: str
    class_name: str
    photo: str
    licence: str
    url: str


def read_cutouts(folder: Path) -> list[Cutout]:
    """What a folder of cut-outs holds.

    Raises:
        UserError: it is no such folder.
    """
    try:
        with (folder / ATTRIBUTION).open(encoding="utf-8", newline="") as file:
            return [Cutout(*(row[name] for name in COLUMNS)) for row in csv.DictReader(file)]
    except FileNotFoundError as error:
        raise UserError(
            f"{folder}: no {ATTRIBUTION} in it; make cut-outs with: promptmlr cut-out PHOTOS --out {folder}"
        ) from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / ATTRIBUTION}: not a table of {', '.join(COLUMNS)}; make it again") from error


class CutoutWorld:
    """Scenes of the cut-outs of one split.

    Args:
        folder: of cut-outs.
        split: "train" or "test", whose objects and backgrounds are used. Classes, their frequencies and what is shown
            together are those of the photographs for training in either case.

    Raises:
        UserError: it is no such folder, or a class has no cut-out in this split.
    """

    def __init__(self, folder: Path, split: str) -> None:
        cutouts = read_cutouts(folder)
        training = [one for one in cutouts if one.split == "train" and one.class_name]
        counts = Counter(one.class_name for one in training)
        self.frequencies: Mapping[str, float] = MappingProxyType({name: counts[name] ** 0.5 for name in sorted(counts)})
        self._names, self._cuts = list(self.frequencies), cuts(list(self.frequencies.values()))
        self._themes = _shown_together(training)
        self._files: dict[str, list[Path]] = defaultdict(list)
        for one in cutouts:
            if one.split == split:
                self._files[one.class_name].append(folder / one.file)
        missing = [name for name in ("", *self.frequencies) if not self._files[name]]
        if missing or not counts:
            what = f"class {missing[0]!r}" if missing and missing[0] else "background"
            raise UserError(f"{folder / ATTRIBUTION}: no {what} for split {split!r}; add some, or make it again")

    @classmethod
    @functools.cache
    def load(cls, folder: str, split: str) -> "CutoutWorld":
        """The same, read once."""
        return cls(Path(folder), split)

    def scene(self, seed: int, index: int) -> Scene:
        """Scene `index` of the series `seed`, always the same."""
        rng = np.random.default_rng([seed, index])
        collage = Collage(_backdrop(rng, self._any(rng, "")))
        objects = []
        for class_index in self._classes(rng):
            size = _WORLD.object_sizes[rng.integers(len(_WORLD.object_sizes))]
            box = collage.paste(rng, _sprite(rng, self._any(rng, self._names[class_index]), size))
            if box is not None:
                objects.append(SceneObject(class_index, None, box))
        return Scene(collage.developed(light=rng.uniform(0.85, 1.1)), tuple(objects), self.frequencies)

    def _any(self, rng: np.random.Generator, class_name: str) -> Image.Image:
        files = self._files[class_name]
        return _opened(files[rng.integers(len(files))])

    def _classes(self, rng: np.random.Generator) -> list[int]:
        """The classes of the objects asked for; a class may come twice."""
        theme = self._themes[rng.integers(len(self._themes))]
        return [
            self._names.index(theme[rng.integers(len(theme))])
            if rng.random() < _WORLD.co_occurrence
            else pick(rng, self._cuts)
            for _ in range(1 + pick(rng, cuts(list(_WORLD.object_counts))))
        ]


def _shown_together(cutouts: Sequence[Cutout]) -> list[list[str]]:
    """For each photograph the classes of its cut-outs."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in cutouts:
        found[one.photo].add(one.class_name)
    return [sorted(found[photo]) for photo in sorted(found)]


@functools.lru_cache(maxsize=8192)
def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.copy()
    except OSError as error:
        raise UserError(f"{path}: no PNG image that can be read; make the cut-outs again") from error


def _backdrop(rng: np.random.Generator, image: Image.Image) -> Floats:
    """(S, S, 3) float32: a part of a background, in other light."""
    side = int(min(image.size) * rng.uniform(0.6, 1.0))
    left, top = int(rng.integers(image.width - side + 1)), int(rng.integers(image.height - side + 1))
    part = image.convert("RGB").resize(
        (IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR, (left, top, left + side, top + side)
    )
    pixels = np.asarray(part, np.float32)[:, :: -1 if rng.integers(2) else 1]
    return np.ascontiguousarray(pixels * _tint(rng))


def _sprite(rng: np.random.Generator, image: Image.Image, size: int) -> Sprite:
    """A cut-out turned, mirrored, in other light and perhaps out of focus, `size` pixels on its longer side."""
    turned = image.rotate(rng.uniform(-_MOST_TURN, _MOST_TURN), Image.Resampling.BILINEAR, expand=True)
    turned = turned.crop(turned.getchannel("A").getbbox())
    scale = size / max(turned.size)
    shape = [max(1, round(scale * side)) for side in turned.size]
    small = turned.resize((shape[0], shape[1]), Image.Resampling.BOX)
    if rng.random() < _BLURRED:
        small = small.filter(ImageFilter.GaussianBlur(rng.uniform(0, _MOST_BLUR)))
    pixels = np.asarray(small, np.float32)
    opacity = pixels[..., 3:] / np.float32(255)
    paint = np.asarray(np.clip(pixels[..., :3] * _tint(rng), 0, 255) * opacity, np.float32)
    sprite = Sprite(opacity, np.zeros_like(opacity), paint)
    return sprite.mirrored() if rng.integers(2) else sprite


def _tint(rng: np.random.Generator) -> Floats:
    """(3,) factors of the channels: brightness and colour of the light."""
    return np.asarray(rng.uniform(0.8, 1.2) * rng.uniform(0.93, 1.07, 3), np.float32)
