"""The paper's augmentation on pixels: Cutout of half the side, then two random operations; seeded per view."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

__all__ = ["Augmentation"]

GREY = (128, 128, 128)
_DRAW = 0x64726177  # keeps the draw of views apart from other generators of the same seed and epoch


def _affine(image: Image.Image, matrix: tuple[float, ...], resample: Image.Resampling) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=GREY)


# Name → (strongest value, operation on an image and a signed value). Magnitude m of 1…9 means m/9 of the strongest.
# The ranges are those of the `randaugment` package that the released dataloaders use.
OPERATIONS: dict[str, tuple[float, Callable[[Image.Image, float], Image.Image]]] = {
    "autocontrast": (0.0, lambda image, _: ImageOps.autocontrast(image)),
    "brightness": (0.9, lambda image, value: ImageEnhance.Brightness(image).enhance(1 + value)),
    "color": (0.9, lambda image, value: ImageEnhance.Color(image).enhance(1 + value)),
    "contrast": (0.9, lambda image, value: ImageEnhance.Contrast(image).enhance(1 + value)),
    "equalize": (0.0, lambda image, _: ImageOps.equalize(image)),
    "invert": (0.0, lambda image, _: ImageOps.invert(image)),
    "posterize": (4.0, lambda image, value: ImageOps.posterize(image, 8 - round(abs(value)))),
    "rotate": (30.0, lambda image, value: image.rotate(value, fillcolor=GREY)),
    "sharpness": (0.9, lambda image, value: ImageEnhance.Sharpness(image).enhance(1 + value)),
    "shear x": (0.3, lambda image, value: _affine(image, (1, value, 0, 0, 1, 0), Image.Resampling.BICUBIC)),
    "shear y": (0.3, lambda image, value: _affine(image, (1, 0, 0, value, 1, 0), Image.Resampling.BICUBIC)),
    "solarize": (256.0, lambda image, value: ImageOps.solarize(image, 256 - round(abs(value)))),
    "translate x": (
        150 / 331,
        lambda image, value: _affine(image, (1, 0, value * image.width, 0, 1, 0), Image.Resampling.NEAREST),
    ),
    "translate y": (
        150 / 331,
        lambda image, value: _affine(image, (1, 0, 0, 0, 1, value * image.height), Image.Resampling.NEAREST),
    ),
}


@dataclass(frozen=True)
class Augmentation:
    """Cutout 0.5 then RandAugment, as the released dataloaders apply them to the resized training image.

    Every view has a generator of its own, `default_rng([seed, view, image])`: the order in which images are decoded
    changes nothing. Unlike the `randaugment` package, rotation goes both ways and its small grey cutout is left out.

    Attributes:
        seed: of the views.
        views: every image has that many views, of which each epoch draws one; None makes a new one for every epoch.
    """

    seed: int
    views: int | None = None

    def __call__(self, image: Image.Image, view: int, index: int) -> Image.Image:
        """A view of image `index`; the size stays."""
        rng = np.random.default_rng([self.seed, view, index])
        image = cutout(image, rng)
        for _ in range(2):
            name = str(rng.choice(list(OPERATIONS)))
            strongest, operation = OPERATIONS[name]
            value = strongest * rng.integers(1, 10) / 9 * rng.choice([-1, 1])
            if rng.random() < 0.5:
                image = operation(image, float(value))
        return image

    def drawn(self, count: int, epoch: int) -> NDArray[np.int64]:
        """(N,) which view each of `count` images shows in `epoch`."""
        if self.views is None:
            return np.full(count, epoch)
        return np.random.default_rng([_DRAW, self.seed, epoch]).integers(self.views, size=count)

    def identity(self, view: int, index: int) -> str:
        """Tells a view of an image from all its other views."""
        return f"cutout+randaugment {self.seed} {view} {index}"


def cutout(image: Image.Image, rng: np.random.Generator, factor: float = 0.5) -> Image.Image:
    """A box of `factor` times the sides around a random point, filled with one random colour."""
    image = image.copy()
    half_width, half_height = round(factor * image.width) // 2, round(factor * image.height) // 2
    x, y = int(rng.integers(image.width)), int(rng.integers(image.height))
    red, green, blue = (int(value) for value in rng.integers(0, 256, size=3))
    box = [x - half_width, y - half_height, x + half_width, y + half_height]
    ImageDraw.Draw(image).rectangle(box, fill=(red, green, blue))
    return image
