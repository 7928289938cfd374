"""Scenes of cut-outs as a data set: pasted together, and photographed, as they are needed."""

import functools
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from promptmlr.data.formats.base import BySplit, Format
from promptmlr.data.labelled import LabelledImages
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.errors import UserError, nearest
from promptmlr.scenes import Scene, photograph
from promptmlr.scenes.cutouts import SPLITS, CutoutWorld

__all__ = ["FORMAT", "PHOTOGRAPHS", "PastedImage", "read_cutout_scenes"]

_PREFIX = "cutouts:"

PHOTOGRAPHS = MappingProxyType(
    {"apart": ("train", "test"), "seen": ("train", "train"), "new": ("test", "test")},
)
"""Which photographs the scenes for training and those for testing are cut from: `train` are those of pretraining."""


@functools.lru_cache(maxsize=4096)
def _photographed(folder: str, photographs: str, seed: int, index: int) -> Scene:
    scene = CutoutWorld.load(folder, photographs).scene(seed, index)
    return replace(scene, image=photograph(scene.image, seed, index))


@dataclass(frozen=True, slots=True)
class PastedImage:
    """Scene `index` of the series `seed`, of a folder's cut-outs for training or for testing, photographed."""

    folder: str
    photographs: str
    seed: int
    index: int

    @property
    def name(self) -> str:
        """Photographs, series and scene, padded so that names sort like numbers."""
        return f"cutouts-{self.photographs}-{self.seed}-{self.index:06d}"

    def open(self) -> Image.Image:
        """The photograph, made once and remembered."""
        return Image.fromarray(self._scene().image)

    def fingerprint(self, content: bool = False) -> str:  # noqa: ARG002
        """SHA-256 of the pixels in any case: the cut-outs may have changed."""
        return hashlib.sha256(self._scene().image.tobytes()).hexdigest()

    def _scene(self) -> Scene:
        return _photographed(self.folder, self.photographs, self.seed, self.index)


def read_cutout_scenes(
    path: Path, split: str | None, purpose: Purpose, images: Path | None, options: DataOptions
) -> LabelledImages:
    """Paste a data set together. Of number n, train is the series of seed 2n + 1, test that of seed 2n + 2.

    Args:
        path: `cutouts:FOLDER`, `cutouts:FOLDER:PHOTOGRAPHS` or `cutouts:FOLDER:PHOTOGRAPHS:NUMBER`; else, or in part,
            that is `apart:0`. The folder is one of `promptmlr cut-out`.
        split: "train" or "test", by default `purpose`.
        purpose: see `split`.
        images: must be None.
        options: `scenes_train` and `scenes_test`.

    Raises:
        UserError: no such folder, photographs or number, another split, or a folder of images.
    """
    folder, kind, number = _parts(str(path))
    split = split or purpose
    if split not in SPLITS:
        raise UserError(f"{path}: there is no split {split!r}; {nearest(split, SPLITS)}")
    if images is not None:
        raise UserError(f"scenes are pasted together: leave out --images {images}")
    place = SPLITS.index(split)
    seed, photographs = 2 * number + 1 + place, PHOTOGRAPHS[kind][place]
    count = (options.scenes_train, options.scenes_test)[place]
    pasted = [PastedImage(folder, photographs, seed, index) for index in range(count)]
    labels = np.stack([_photographed(folder, photographs, seed, index).labels for index in range(count)])
    return LabelledImages.from_rows(
        [image.name for image in pasted],
        pasted,
        labels,
        tuple(CutoutWorld.load(folder, photographs).frequencies),
        f"scenes of cut-outs, split {split} (seed {seed}), from the photographs for {photographs}ing",
    )


def _parts(name: str) -> tuple[str, str, int]:
    """Folder, photographs and number."""
    folder, *parts = name.removeprefix(_PREFIX).split(":")
    kind, number, *more = [*parts, *("apart", "0")[len(parts) :]]
    if kind not in PHOTOGRAPHS:
        raise UserError(f"{name}: there are no photographs {kind!r}; {nearest(kind, tuple(PHOTOGRAPHS))}")
    if more or not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise UserError(
            f"{name}: scenes of cut-outs are named cutouts:FOLDER:PHOTOGRAPHS:NUMBER, such as cutouts:{folder}:{kind}:3"
        )
    return folder, kind, int(number)


FORMAT = Format(
    "cutouts",
    "scenes of cut-outs: cutouts:FOLDER, cutouts:FOLDER:PHOTOGRAPHS or cutouts:FOLDER:PHOTOGRAPHS:NUMBER",
    lambda source: source.name.startswith(_PREFIX),
    BySplit(read_cutout_scenes, lambda _path: SPLITS),
    says_all=True,
)
