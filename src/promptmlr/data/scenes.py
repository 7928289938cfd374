"""The drawn world as a data set: scenes are drawn, and photographed, as they are needed."""

import functools
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from promptmlr.data.labelled import LabelledImages
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.errors import UserError, nearest
from promptmlr.scenes import CLASS_NAMES, Scene, draw_scene, photograph

__all__ = ["DrawnImage", "read_scenes"]

_SEEDS = {"train": 1, "test": 2}


# A scene takes milliseconds to draw, for its labels and again for every epoch; 4096 of them take 200 MB.
@functools.lru_cache(maxsize=4096)
def _photographed(seed: int, index: int) -> Scene:
    scene = draw_scene(seed, index)
    return replace(scene, image=photograph(scene.image, seed, index))


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """Scene `index` of the drawn world `seed`, photographed."""

    seed: int
    index: int

    @property
    def name(self) -> str:
        """World and scene, padded so that names sort like numbers."""
        return f"scene-{self.seed}-{self.index:06d}"

    def open(self) -> Image.Image:
        """The photograph, made once and remembered."""
        return Image.fromarray(_photographed(self.seed, self.index).image)

    def fingerprint(self, content: bool = False) -> str:  # noqa: ARG002
        """SHA-256 of the pixels in any case: another version may draw the scene differently."""
        return hashlib.sha256(_photographed(self.seed, self.index).image.tobytes()).hexdigest()


def read_scenes(
    _path: Path, split: str | None, purpose: Purpose, images: Path | None, options: DataOptions
) -> LabelledImages:
    """Draw a data set: train is the world of seed 1, test that of seed 2.

    Args:
        split: "train" or "test", by default `purpose`.
        purpose: see `split`.
        images: must be None.
        options: `scenes_train` and `scenes_test`.

    Raises:
        UserError: another split, or a folder of images.
    """
    split = split or purpose
    if split not in _SEEDS:
        raise UserError(f"the drawn world has no split {split!r}; {nearest(split, _SEEDS)}")
    if images is not None:
        raise UserError(f"scenes are drawn: leave out --images {images}")
    seed, count = _SEEDS[split], {"train": options.scenes_train, "test": options.scenes_test}[split]
    drawn = [DrawnImage(seed, index) for index in range(count)]
    labels = np.stack([_photographed(seed, index).labels for index in range(count)])
    return LabelledImages.from_rows(
        [image.name for image in drawn], drawn, labels, CLASS_NAMES, f"drawn scenes, split {split} (seed {seed})"
    )
