"""What everything else knows of a frozen CLIP: the space that images and class names share, and the two towers."""

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
    """A frozen CLIP, or what stands in for one; it never changes.

    Attributes:
        name: how it was asked for.
        pretrained: tag or file of its weights, or None.
        weights_sha256: tells whether two of them are the same.
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
        """Where it computes."""

    @property
    @abstractmethod
    def description(self) -> str:
        """How images are seen, to be put behind them: "seen by RN101 at 448 px"."""

    @property
    @abstractmethod
    def has_text_tower(self) -> bool:
        """Whether it reads any text, so that prompts can be learned."""

    @property
    @abstractmethod
    def has_class_features(self) -> bool:
        """Whether it knows text features of classes."""

    @abstractmethod
    def class_features(self, class_names: Sequence[str], template: str) -> Tensor:
        """Text features of classes.

        Args:
            class_names: C names, with spaces for underscores.
            template: a sentence with {} for the name, or one without, which is the same for all.

        Returns:
            (C, D), not normalised.

        Raises:
            UserError: there are none.
        """

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What is written into a run's config, and compared with it when the run is used."""

    # From here on, what features that are given cannot have.

    @property
    @abstractmethod
    def text(self) -> TextTower:
        """The text tower; raises `UserError` where there is none."""

    @property
    @abstractmethod
    def preprocessing(self) -> Preprocessing:
        """Size and normalisation of its images; raises `UserError` where it sees none."""

    @property
    @abstractmethod
    def grid(self) -> int:
        """The side of the grid of regions; raises `UserError` where it sees no images."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Of the image tower's weights; raises `UserError` where there is none."""

    @property
    @abstractmethod
    def quick_gelu(self) -> bool:
        """Whether the image tower's activation is QuickGELU, which its weights do not tell; raises `UserError`."""

    @abstractmethod
    def encode_image(self, images: Tensor) -> Tensor:
        """Dense regions in the shared image-text space.

        Args:
            images: (B, 3, S, S) float, normalised (`preprocessing.normalise`).

        Returns:
            (B, R, D) in the weights' dtype, not normalised; region 0 is global.

        Raises:
            UserError: there is no image tower.
        """

    @abstractmethod
    def image_tower(self) -> ImageTower:
        """The image tower alone, as a module in float32 whatever it is cast to here; a copy. Raises `UserError`."""

    @abstractmethod
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """(N, D) features of N sentences, not normalised.

        Raises:
            UserError: no list of sentences, one that does not fit the context, or no text tower.
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
        """R, the number of regions of an image: the grid and the global one."""
        return self.grid**2 + 1


def checked_device(device: str | torch.device | None) -> torch.device:
    """A device that tensors can be on; None is the CPU.

    Raises:
        UserError: there is none of that name.
    """
    try:
        chosen = torch.device(device or "cpu")
        torch.zeros(1, device=chosen).item()  # "meta" has shapes, but no numbers
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise UserError(f"device {str(device)!r} cannot be used: {reason}; cpu always can") from error
    return chosen
