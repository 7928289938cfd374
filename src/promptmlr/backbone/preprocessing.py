"""From a decoded image to the tower's input: squashed to a square as released, then normalised."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

__all__ = ["MAX_SIDE", "Preprocessing"]

MAX_SIDE = 4096  # pixels of a tower's input: far above all of open_clip's models, and small enough for memory


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a tower's input; recorded in every run and checked when the run is used.

    Images are squashed to a square, not cropped, so that objects at the border stay in view (released
    `transforms.Resize((S, S))` in dataloaders/coco_detection.py and pascal_voc.py).
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bilinear"
    resize: str = "squash"

    def resized(self, image: Image.Image) -> Image.Image:
        """An RGB image squashed to S × S."""
        return image.resize((self.image_size, self.image_size), Image.Resampling.BILINEAR)

    def pixels(self, image: Image.Image) -> Tensor:
        """(3, S, S) uint8 of an RGB image of any size."""
        pixels: Tensor = v2.functional.pil_to_tensor(self.resized(image))
        return pixels

    def normalise(self, pixels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """(B, 3, S, S) uint8 → the same shape in float, CLIP-normalised; rounded once, to `dtype`."""
        exact = torch.promote_types(dtype, torch.float32)
        mean = torch.tensor(self.mean, device=pixels.device, dtype=exact).view(3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device, dtype=exact).view(3, 1, 1)
        return ((pixels.to(exact) / 255 - mean) / std).to(dtype)

    def as_dict(self) -> dict[str, Any]:
        """For a run's config."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
