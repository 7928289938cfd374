"""From a decoded image to the tower's input: squashed to a square as released, then normalised; tiles of it too."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from promptmlr.errors import UserError

__all__ = ["MAX_CROPS", "MAX_SIDE", "Preprocessing"]

MAX_SIDE = 4096  # pixels of a tower's input: far above all of open_clip's models, and small enough for memory
MAX_CROPS = 8  # 65 images through the tower for one


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a tower's input; recorded in every run and checked when the run is used.

    Images are squashed to a square, not cropped, so that objects at the border stay in view (released
    `transforms.Resize((S, S))` in dataloaders/coco_detection.py and pascal_voc.py). With `crops` N the tower also sees
    N × N tiles of the image, for objects that are small beside it. A tile's sides are 2 / (N + 1) of the image's, so
    that neighbours share half: what is no larger than half a tile lies in one of them whole.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bilinear"
    resize: str = "squash"
    crops: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.crops <= MAX_CROPS or self.crops == 1:
            raise UserError(f"--crops {self.crops}: give 0, or from 2 to {MAX_CROPS} for so many tiles along a side")

    def tiles(self, width: float = 1, height: float = 1) -> list[tuple[float, float, float, float]]:
        """Left, top, right, bottom of each tile of an image of this size, row by row."""
        parts, places = self.crops + 1, range(self.crops)
        across, down = (
            [(at * length / parts, (at + 2) * length / parts) for at in places] for length in (width, height)
        )
        return [(left, top, right, bottom) for top, bottom in down for left, right in across]

    def resized(self, image: Image.Image) -> Image.Image:
        """An RGB image squashed to S × S, or to a square whose tiles are S × S."""
        side = round(self.image_size * (self.crops + 1) / 2) if self.crops else self.image_size
        return image.resize((side, side), Image.Resampling.BILINEAR)

    def pixels(self, image: Image.Image) -> Tensor:
        """(3, S, S) uint8 of an RGB image of any size; (1 + N², 3, S, S) with its tiles."""
        boxes = [(0, 0, *image.size), *self.tiles(*image.size)]
        square, kind = (self.image_size, self.image_size), Image.Resampling.BILINEAR
        views = [v2.functional.pil_to_tensor(image.resize(square, kind, box=box)) for box in boxes]
        pixels: Tensor = torch.stack(views) if self.crops else views[0]
        return pixels

    def normalise(self, pixels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """(…, 3, S, S) uint8 → the same shape in float, CLIP-normalised; rounded once, to `dtype`."""
        exact = torch.promote_types(dtype, torch.float32)
        mean = torch.tensor(self.mean, device=pixels.device, dtype=exact).view(3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device, dtype=exact).view(3, 1, 1)
        return ((pixels.to(exact) / 255 - mean) / std).to(dtype)

    def as_dict(self) -> dict[str, Any]:
        """For a run's config; without `crops` where there are none, as it was before there could be."""
        settings = asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        return settings if self.crops else {key: value for key, value in settings.items() if key != "crops"}
