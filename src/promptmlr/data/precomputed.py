"""Images of which features are given, and no pixels."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from promptmlr.data.images import ImageRef
from promptmlr.errors import UserError

__all__ = ["Features", "PrecomputedImage", "precomputed_images", "precomputed_regions"]


@dataclass(frozen=True, eq=False)
class Features:
    """The features of one file, or of one array.

    Attributes:
        regions: (N, R, D) float32 of all its rows; one vector per image is R = 1.
        text: class name → (D,) float32 text features; empty where none are given.
    """

    regions: NDArray[np.float32]
    text: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """D."""
        return int(self.regions.shape[2])

    @cached_property
    def sha256(self) -> str:
        """Of the regions and their shape, in hexadecimal."""
        digest = hashlib.sha256(f"{self.regions.shape}".encode())
        digest.update(np.ascontiguousarray(self.regions).data)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class PrecomputedImage:
    """An image of which regions are given: one row of `Features`."""

    name: str
    features: Features
    row: int

    def open(self) -> Image.Image:
        """Refused: nobody gave its pixels."""
        raise UserError(f"{self.name}: its features are given, not its pixels; name image files for what needs them")

    def fingerprint(self, content: bool = False) -> str:  # noqa: ARG002
        """SHA-256 of its regions in any case."""
        return hashlib.sha256(np.ascontiguousarray(self.features.regions[self.row]).data).hexdigest()


def precomputed_images(features: Features, names: Sequence[str]) -> list[PrecomputedImage]:
    """The N rows of some features as images of these names."""
    return [PrecomputedImage(name, features, row) for row, name in enumerate(names)]


def precomputed_regions(images: Sequence[ImageRef]) -> NDArray[np.float32] | None:
    """(N, R, D) regions of N images of one data set; None where they are images with pixels."""
    given = [image.features.regions[image.row] for image in images if isinstance(image, PrecomputedImage)]
    return np.stack(given) if given and len(given) == len(images) else None
