"""A run as the service sees it: pixels in, probabilities and maps out, and a name without its folder.

Letters: C classes, R regions, D feature width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.data.images import image_from_bytes
from promptmlr.maps.subject import Subject, subject_of_run
from promptmlr.prediction import chosen_labels
from promptmlr.regions import encode_pixels
from promptmlr.report.overlays import grid_of
from promptmlr.run import Run

__all__ = ["ClassMap", "Decoded", "Look", "ServedRun", "load_backbones", "served_runs"]


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image ready for the tower.

    Attributes:
        size: width and height in pixels, upright.
        pixels: (3, S, S) uint8.
    """

    size: tuple[int, int]
    pixels: Tensor


@dataclass(frozen=True, eq=False)
class Look:
    """What a run says of an image.

    Attributes:
        probabilities: (C,).
        labels: names, the most probable first.
    """

    probabilities: NDArray[np.float32]
    labels: list[str]


@dataclass(frozen=True, eq=False)
class ClassMap:
    """The similarity map of one side of a class.

    Attributes:
        grid: (h, h), without the region of the whole image.
        scale: what its numbers are.
        limits: the least and the greatest of all maps of the image on this scale: the ends of the colours.
    """

    grid: NDArray[np.float32]
    scale: str
    limits: tuple[float, float]


class ServedRun:
    """A run behind the service.

    Args:
        run: a finished run.
        name: what to call it.
    """

    def __init__(self, run: Run, name: str) -> None:
        self.run = run
        self.name = name

    @property
    def tower(self) -> tuple[str, str, str]:
        """Runs for which this is the same share their regions."""
        record = self.run.config.backbone
        seen = f"{record.dtype}, {record.activation}, {record.regions}"
        return record.weights_sha256, seen, record.pixels.model_dump_json()

    @property
    def backbone_name(self) -> str:
        """Of a file its name alone: folders are nobody's business."""
        record = self.run.config.backbone
        return " ".join(Path(part).name for part in (record.name, record.pretrained) if part)

    def decode(self, content: bytes, name: str, max_pixels: int) -> Decoded:
        """An image for this run's tower.

        Raises:
            UnreadableImage: it cannot be read, or has too many pixels.
        """
        image = image_from_bytes(content, name, max_pixels=max_pixels)
        return Decoded(image.size, self.run.backbone.preprocessing.pixels(image))

    def encode(self, images: Sequence[Decoded]) -> Tensor:
        """(B, R, D) regions."""
        return encode_pixels(self.run.backbone, [image.pixels for image in images])

    def look(self, regions: Tensor) -> Look:
        """What the run says of an image, (R, D)."""
        probabilities = self.run.probabilities(regions[None])[0]
        return Look(probabilities, chosen_labels(probabilities, self.run.class_names, self.run.thresholds, None))

    def maps(self, regions: Tensor, column: int) -> tuple[ClassMap, ClassMap]:
        """Presence and absence map of a class over an image, (R, D)."""
        subject: Subject = subject_of_run(self.run)
        sides = [side[0] for side in subject.maps(regions[None])]  # two of (C, R)
        tiles = self.run.backbone.tiles
        limits: dict[str, tuple[float, float]] = {}
        for side, scale in zip(sides, subject.scales, strict=True):
            low, high = limits.get(scale, (np.inf, -np.inf))
            grids = side[:, 1 : side.shape[1] - tiles]
            limits[scale] = (min(low, float(grids.min())), max(high, float(grids.max())))
        presence, absence = (
            ClassMap(grid_of(side[column], tiles), scale, limits[scale])
            for side, scale in zip(sides, subject.scales, strict=True)
        )
        return presence, absence


def served_runs(runs: Sequence[Run]) -> list[ServedRun]:
    """Runs under the names of their folders, each a different one."""
    served: list[ServedRun] = []
    for run in runs:
        folder = run.path.resolve().name or "run"
        taken = {one.name for one in served}
        name = next(name for number in range(1, len(runs) + 1)
                    if (name := folder if number == 1 else f"{folder} ({number})") not in taken)  # fmt: skip
        served.append(ServedRun(run, name))
    return served


def load_backbones(
    served: Sequence[ServedRun], name: str | Path | None = None, pretrained: str | None = None, device: str = "cpu"
) -> None:
    """Load the backbone of every run, once where several have the same.

    Raises:
        UserError: see `Run.use_backbone`.
    """
    loaded: dict[tuple[str, str, str], Run] = {}
    for one in served:
        if one.tower in loaded:
            one.run.adopt(loaded[one.tower].backbone)
        elif not one.run.has_backbone:
            one.run.use_backbone(name, pretrained, device)
        loaded.setdefault(one.tower, one.run)
