"""The drawn world as a data set: scenes are drawn, and photographed, as they are needed."""

import functools
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from promptmlr.data.formats.base import BySplit, Format
from promptmlr.data.labelled import LabelledImages
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.errors import UserError, nearest
from promptmlr.scenes import CLASS_NAMES, WORLDS, Scene, draw_scene, photograph
from promptmlr.scenes.world import IMAGE_SIZE

__all__ = ["FORMAT", "DrawnImage", "is_scenes", "read_scenes"]

_SPLITS = ("train", "test")


# A scene takes milliseconds to draw, for its labels and again for every epoch; 4096 of them take 200 MB.
@functools.lru_cache(maxsize=4096)
def _photographed(seed: int, index: int, world: str) -> Scene:
    scene = draw_scene(seed, index, WORLDS[world])
    return replace(scene, image=photograph(scene.image, seed, index, WORLDS[world]))


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """Scene `index` of the series `seed`, drawn and photographed as in one of `WORLDS`."""

    seed: int
    index: int
    world: str = "usual"

    @property
    def name(self) -> str:
        """World, series and scene, padded so that names sort like numbers."""
        world = "" if self.world == "usual" else f"{self.world}-"
        return f"scene-{world}{self.seed}-{self.index:06d}"

    def open(self) -> Image.Image:
        """The photograph, made once and remembered."""
        return Image.fromarray(_photographed(self.seed, self.index, self.world).image)

    def object_sizes(self) -> dict[str, float]:
        """Class name → share of the image that the box of its largest object covers."""
        found: dict[str, float] = {}
        for thing in _photographed(self.seed, self.index, self.world).objects:
            left, top, right, bottom = thing.box
            name = CLASS_NAMES[thing.class_index]
            found[name] = max(found.get(name, 0.0), (right - left) * (bottom - top) / IMAGE_SIZE**2)
        return found

    def fingerprint(self, content: bool = False) -> str:  # noqa: ARG002
        """SHA-256 of the pixels in any case: another version may draw the scene differently."""
        return hashlib.sha256(_photographed(self.seed, self.index, self.world).image.tobytes()).hexdigest()


def is_scenes(data: str) -> bool:
    """Whether a data set's name means drawn scenes: `scenes`, `scenes:WORLD` or `scenes:WORLD:NUMBER`."""
    return data == "scenes" or data.startswith("scenes:")


def read_scenes(
    path: Path, split: str | None, purpose: Purpose, images: Path | None, options: DataOptions
) -> LabelledImages:
    """Draw a data set. Of number n, train is the series of seed 2n + 1, test that of seed 2n + 2.

    Args:
        path: `scenes`, `scenes:WORLD` or `scenes:WORLD:NUMBER`; else, or in part, that is `scenes:usual:0`.
        split: "train" or "test", by default `purpose`.
        purpose: see `split`.
        images: must be None.
        options: `scenes_train` and `scenes_test`.

    Raises:
        UserError: no such world or number, another split, or a folder of images.
    """
    world, number = _world_and_number(path.name)
    split = split or purpose
    if split not in _SPLITS:
        raise UserError(f"the drawn world has no split {split!r}; {nearest(split, _SPLITS)}")
    if images is not None:
        raise UserError(f"scenes are drawn: leave out --images {images}")
    seed = 2 * number + 1 + _SPLITS.index(split)
    count = {"train": options.scenes_train, "test": options.scenes_test}[split]
    drawn = [DrawnImage(seed, index, world) for index in range(count)]
    labels = np.stack([_photographed(seed, index, world).labels for index in range(count)])
    kind = "drawn scenes" if (world, number) == ("usual", 0) else f"drawn scenes, {world} {number}"
    return LabelledImages.from_rows(
        [image.name for image in drawn], drawn, labels, CLASS_NAMES, f"{kind}, split {split} (seed {seed})"
    )


def _world_and_number(name: str) -> tuple[str, int]:
    if not is_scenes(name):
        return "usual", 0
    _, *parts = name.split(":")
    world, number, *more = [*parts, *("usual", "0")[len(parts) :]]
    if world not in WORLDS:
        raise UserError(f"{name}: there is no drawn world {world!r}; {nearest(world, WORLDS)}")
    if more or not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise UserError(f"{name}: drawn scenes are named scenes:WORLD:NUMBER, such as scenes:{world}:3")
    return world, int(number)


FORMAT = Format(
    "scenes",
    "drawn scenes: scenes, scenes:WORLD or scenes:WORLD:NUMBER",
    lambda source: is_scenes(source.name),
    BySplit(read_scenes, lambda _path: _SPLITS),
    says_all=True,
)
