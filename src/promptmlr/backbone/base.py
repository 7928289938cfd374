"""The interface of a frozen CLIP: the space that images and class names share, and the two towers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from promptmlr.backbone.preprocessing import Preprocessing
from promptmlr.backbone.text import TextTower
from promptmlr.backbone.tower import ImageTower
from promptmlr.errors import UserError

__all__ = ["Backbone", "checked_device"]


class Backbone(ABC):
    """A frozen CLIP, or precomputed features in its place; immutable.

    Attributes:
        name: as given to `load_backbone`.
        pretrained: tag or file of its weights, or None.
        weights_sha256: equal for equal weights.
    """

    name: str
    pretrained: str | None
    weights_sha256: str

    @property
    @abstractmethod
    def feature_width(self) -> int:
        """D, the width of regions and text features."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device it computes on."""

    @property
    @abstractmethod
    def description(self) -> str:
        """A phrase to follow the name of a data set: "seen by RN101 at 448 px"."""

    @property
    @abstractmethod
    def has_text_tower(self) -> bool:
        """Whether it encodes any text, so that prompts can be learned."""

    @property
    @abstractmethod
    def has_class_features(self) -> bool:
        """Whether it has text features of classes."""

    @abstractmethod
    def class_features(self, class_names: Sequence[str], template: str) -> Tensor:
        """Text features of classes.

        Args:
            class_names: C names, with spaces for underscores.
            template: a sentence with {} for the name; without {} all classes have the same feature.

        Returns:
            (C, D), not normalised.

        Raises:
            UserError: it has no text features.
        """

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """The fields stored in a run's config, and compared when the run is used."""

    # Everything from here on raises for precomputed features.

    @property
    @abstractmethod
    def text(self) -> TextTower:
        """The text tower; raises `UserError` without one."""

    @property
    @abstractmethod
    def preprocessing(self) -> Preprocessing:
        """Size and normalisation of its images; raises `UserError` without an image tower."""

    @property
    @abstractmethod
    def grid(self) -> int:
        """The side of the grid of regions; raises `UserError` without an image tower."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Of the image tower's weights; raises `UserError` without an image tower."""

    @property
    @abstractmethod
    def quick_gelu(self) -> bool:
        """Whether the image tower uses QuickGELU, which weights do not show; raises `UserError` without a tower."""

    @property
    @abstractmethod
    def way(self) -> str:
        """How regions are made, a name of `image.WAYS`; raises `UserError` without an image tower."""

    @abstractmethod
    def encode_image(self, images: Tensor) -> Tensor:
        """Dense regions in the shared image-text space.

        Args:
            images: (B, 3, S, S) float, normalised (`preprocessing.normalise`); with crops (B, 1 + N², 3, S, S).

        Returns:
            (B, R, D) in the weights' dtype, not normalised; region 0 is global. With crops the last N² are the global
            regions of the tiles.

        Raises:
            UserError: there is no image tower.
        """

    @abstractmethod
    def image_tower(self) -> ImageTower:
        """A float32 copy of the image tower as a module; raises `UserError` without one."""

    @abstractmethod
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """(N, D) features of N sentences, not normalised.

        Raises:
            UserError: not a list of sentences, a sentence does not fit the context, or there is no text tower.
        """

    @property
    def pair_score(self) -> tuple[float, float] | None:
        """Scale and bias of its own log odds that a text belongs to an image, scale · cos + bias; None without one."""
        return None

    @property
    def image_size(self) -> int:
        """S, the side of an input image in pixels."""
        return self.preprocessing.image_size

    @property
    def regions(self) -> int:
        """R, the number of regions of an image: the global one, the grid, and the tiles."""
        return 1 + self.grid**2 + self.tiles

    @property
    def tiles(self) -> int:
        """N², the number of tiles of an image whose global regions come last."""
        return self.preprocessing.crops**2


def checked_device(device: str | torch.device | None) -> torch.device:
    """The torch device of this name; None is the CPU.

    Raises:
        UserError: there is no such device.
    """
    try:
        chosen = torch.device(device or "cpu")
        torch.zeros(1, device=chosen).item()  # "meta" has shapes, but no numbers
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise UserError(f"device {str(device)!r} cannot be used: {reason}; cpu always can") from error
    return chosen
