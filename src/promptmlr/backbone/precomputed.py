"""Precomputed features in place of a frozen CLIP, without towers."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from promptmlr.backbone.base import Backbone, checked_device
from promptmlr.backbone.preprocessing import Preprocessing
from promptmlr.backbone.text import TextTower
from promptmlr.backbone.tower import ImageTower
from promptmlr.errors import UserError, nearest

__all__ = ["PrecomputedFeatures"]


class PrecomputedFeatures(Backbone):
    """The space of precomputed features: class texts are looked up, everything that needs a tower raises `UserError`.

    Args:
        width: D.
        text: class name → (D,) float32 text features; may be empty.
        device: the device for features, such as "cuda".

    Raises:
        UserError: there is no such device.
    """

    name = "features"
    pretrained = None

    def __init__(
        self, width: int, text: Mapping[str, NDArray[np.float32]] | None = None, device: str | torch.device = "cpu"
    ) -> None:
        self._width = width
        self._vectors = dict(text or {})
        self._device = checked_device(device)
        self.weights_sha256 = _sha256(width, self._vectors)

    @property
    def feature_width(self) -> int:
        """D."""
        return self._width

    @property
    def device(self) -> torch.device:
        """The device for features."""
        return self._device

    @property
    def description(self) -> str:
        """Their width."""
        return f"given as features of width {self._width}"

    @property
    def has_text_tower(self) -> bool:
        """Never."""
        return False

    @property
    def has_class_features(self) -> bool:
        """If there are text features."""
        return bool(self._vectors)

    def class_features(self, class_names: Sequence[str], template: str) -> Tensor:
        """(C, D) precomputed text features; for a template without {}, the mean of their directions.

        The words of the template are ignored.

        Raises:
            UserError: there are no text features, or a class has none.
        """
        if not self._vectors:
            raise UserError(
                "this method starts from text features of the classes, and the features come without: give them as "
                "`text`, (C, D), or take --method baseline, which needs none"
            )
        for name in class_names:
            if name not in self._vectors:
                raise UserError(f"no text features of class {name!r} are given; {nearest(name, self._vectors)}")
        chosen = class_names if "{}" in template else list(self._vectors)
        vectors = torch.from_numpy(np.stack([self._vectors[name] for name in chosen])).to(self._device)
        if "{}" in template:
            return vectors
        return nn.functional.normalize(vectors, dim=-1).mean(0).expand(len(class_names), -1)

    def identity(self) -> dict[str, Any]:
        """The fields of a backbone's identity; `weights_sha256` is the hash of width and text features."""
        return {
            "name": self.name,
            "pretrained": None,
            "weights_sha256": self.weights_sha256,
            "dtype": "float32",
            "text_dtype": "float32",
            "activation": None,
            "text_activation": None,
            "feature_width": self._width,
            "preprocessing": None,
        }

    def may_match(self, weights_sha256: str, class_names: Sequence[str]) -> bool:
        """Whether features of that identity can be in this space.

        Other data of the same space may have no text features, or those of more classes.

        Args:
            weights_sha256: of the other identity.
            class_names: the classes of its text features, if it has any.
        """
        if not all(name in self._vectors for name in class_names):
            return True
        text = {name: self._vectors[name] for name in class_names}
        return weights_sha256 in (_sha256(self._width, text), _sha256(self._width, {}))

    @property
    def text(self) -> TextTower:
        """Refused."""
        raise UserError(
            "prompts are learned through a text tower, and features come without one: take a method without prompts, "
            "such as --method anchored, or baseline"
        )

    @property
    def preprocessing(self) -> Preprocessing:
        """Refused."""
        _no_pixels()

    @property
    def grid(self) -> int:
        """Refused."""
        _no_pixels()

    @property
    def dtype(self) -> torch.dtype:
        """Refused."""
        _no_pixels()

    @property
    def quick_gelu(self) -> bool:
        """Refused."""
        _no_pixels()

    @property
    def way(self) -> str:
        """Refused."""
        _no_pixels()

    @property
    def tiles(self) -> int:
        """None: only whole images are known to be among features."""
        return 0

    def encode_image(self, images: Tensor) -> Tensor:  # noqa: ARG002
        """Refused."""
        _no_pixels()

    def image_tower(self) -> ImageTower:
        """Refused."""
        _no_pixels()

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Refused."""
        return self.text.encode_texts(list(texts))


def _no_pixels() -> NoReturn:
    raise UserError("this needs an image tower, and features come without one: name image files, and a --backbone")


def _sha256(width: int, text: Mapping[str, NDArray[np.float32]]) -> str:
    digest = hashlib.sha256(f"features of width {width}".encode())
    for name, vector in sorted(text.items()):
        digest.update(f"\0{name}\0".encode())
        digest.update(np.ascontiguousarray(vector, dtype="<f4").data)
    return digest.hexdigest()
