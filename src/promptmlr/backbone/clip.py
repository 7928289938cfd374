"""The frozen CLIP itself: an open_clip model whose towers give regions and text features."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import QuickGELU
from timm.layers.activations import GELU, GELUTanh
from torch import Tensor, nn

from promptmlr.backbone.base import Backbone
from promptmlr.backbone.catalogue import native_size
from promptmlr.backbone.image import region_way, tower_kind
from promptmlr.backbone.image.ways import VALUE
from promptmlr.backbone.preprocessing import MAX_SIDE, Preprocessing
from promptmlr.backbone.text import TextTower, text_tower
from promptmlr.backbone.tower import ImageTower
from promptmlr.errors import UserError

__all__ = ["ClipBackbone", "check_size"]

CHUNK_PIXELS = 4 * 448**2  # of a batch on a CPU: outputs of a layer then fit its cache


class ClipBackbone(Backbone):
    """An open_clip model whose weights never change.

    Args:
        model: an open_clip model with float32 weights; kept in evaluation mode, frozen, cast in place.
        name: as given to `load_backbone`.
        pretrained: tag or file of its weights, or None.
        preprocessing: size and normalisation of its images.
        dtype: of the image tower's weights.
        text_dtype: of the text tower's weights; None is `dtype`.
        tokenizer: open_clip's for the model; None is CLIP's.
        regions: how they are made, a name of `image.WAYS`; None is the default of the kind of tower.
    """

    def __init__(
        self,
        model: Any,
        name: str,
        pretrained: str | None,
        preprocessing: Preprocessing,
        dtype: torch.dtype = torch.float32,
        text_dtype: torch.dtype | None = None,
        tokenizer: Any = None,
        regions: str | None = None,
    ) -> None:
        kind = tower_kind(model.visual)
        self._way = region_way(model.visual, regions, name)
        patch = kind.patch_side(model.visual)
        if preprocessing.image_size > MAX_SIDE:
            raise UserError(f"image size {preprocessing.image_size}: it must be at most {MAX_SIDE} pixels")
        check_size(preprocessing.image_size, patch, native_size(model.visual), name)
        self._model = model.eval().requires_grad_(False)
        self.weights_sha256 = _sha256(model)  # before folds and casts: the same weights are the same at every dtype
        kind.prepare(model.visual)
        _cast(model, dtype, text_dtype or dtype)
        self._regions_of = kind.encoder(model.visual, self._way)
        self.name = name
        self.pretrained = pretrained
        self._preprocessing = preprocessing
        self._text = text_tower(model, tokenizer or SimpleTokenizer())
        self._grid = preprocessing.image_size // patch

    @property
    def _some_weight(self) -> Tensor:
        weight: Tensor = next(self._model.visual.parameters())
        return weight

    @property
    def feature_width(self) -> int:
        """D, the width of regions and text features."""
        return self.text.feature_width

    @property
    def description(self) -> str:
        """Name and size."""
        return f"seen by {self.name} at {self.image_size} px"

    @property
    def has_text_tower(self) -> bool:
        """Always."""
        return True

    @property
    def has_class_features(self) -> bool:
        """Always, for any class."""
        return True

    @property
    def text(self) -> TextTower:
        """The text tower."""
        return self._text

    @property
    def preprocessing(self) -> Preprocessing:
        """Size and normalisation of its images."""
        return self._preprocessing

    @property
    def grid(self) -> int:
        """The side of the grid of regions."""
        return self._grid

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self._some_weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the image tower's weights."""
        return self._some_weight.dtype

    @property
    def pair_score(self) -> tuple[float, float] | None:
        """Scale and bias of its own log odds, of a model trained with a sigmoid loss (SigLIP); else None."""
        if self._model.logit_bias is None:
            return None
        return float(self._model.logit_scale.float().exp()), float(self._model.logit_bias.float())

    @property
    def quick_gelu(self) -> bool:
        """Whether the image tower's activation is QuickGELU, which weights do not show."""
        return _activation(self._model.visual) == "quickgelu"

    @property
    def way(self) -> str:
        """How regions are made, a name of `image.WAYS`."""
        return self._way.name

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> Tensor:
        """Dense regions (B, R, D) of (B, 3, S, S) normalised images, in the weights' dtype; region 0 is global.

        With crops, images are (B, 1 + N², 3, S, S), and the last N² regions are the global ones of the tiles, as
        TagCLIP takes the class token of crops (Lin and others, 2024; released `cwr` in classify.py of
        linyq2117/TagCLIP).
        """
        at_once = max(CHUNK_PIXELS // self.image_size**2, 1) if self.device.type == "cpu" else max(len(images), 1)
        views = images.flatten(0, 1) if self.tiles else images
        found = torch.cat([self._regions_of(chunk.to(self.device, self.dtype)) for chunk in views.split(at_once)])
        if not self.tiles:
            return found
        found = found.unflatten(0, images.shape[:2])
        return torch.cat([found[:, 0], found[:, 1:, 0]], dim=1)

    def image_tower(self) -> ImageTower:
        """A float32 copy of the image tower as a module; it sees whole images, without tiles."""
        return ImageTower(self._model.visual, self.grid, self._way)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """(N, D) features of N sentences, not normalised.

        Raises:
            UserError: no list of sentences, or one that does not fit the context.
        """
        texts = list(texts) if isinstance(texts, Iterable) and not isinstance(texts, str) else []
        if not texts or not all(isinstance(text, str) for text in texts):
            raise UserError("encode_text takes a list of one or more texts, such as ['a photo of a dog.']")
        return self.text.encode_texts(texts)

    def class_features(self, class_names: Sequence[str], template: str) -> Tensor:
        """(C, D) features of the template's sentences, not normalised; the same for all classes without {}."""
        texts = [template.format(name) for name in class_names] if "{}" in template else [template]
        return self.encode_text(texts).expand(len(class_names), -1)

    def identity(self) -> dict[str, Any]:
        """Name, weights, precision, activations, regions and preprocessing, as stored in a run's config.

        `weights_sha256` is the hash of all weights, names and shapes as loaded, before any cast.
        """
        way = {} if self._way is VALUE else {"regions": self.way}  # as it was before there were others
        return way | {
            "name": self.name,
            "pretrained": self.pretrained,
            "weights_sha256": self.weights_sha256,
            "dtype": str(self.dtype).removeprefix("torch."),
            "text_dtype": str(self.text.dtype).removeprefix("torch."),
            "activation": _activation(self._model.visual),
            "text_activation": _activation(getattr(self._model, "text", None) or self._model.transformer),
            "feature_width": self.feature_width,
            "preprocessing": self.preprocessing.as_dict(),
        }


def _sha256(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(f"{key}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def check_size(size: int, patch: int, native: int, name: str) -> None:
    """A tower's own size is taken even where its last patch is cut off (SigLIP at 384 px with patches of 14).

    Raises:
        UserError: another one does not fit; it says which do.
    """
    if size >= patch and (size % patch == 0 or size == native):
        return
    below = max(size // patch, 1) * patch
    fitting = ", ".join(str(each) for each in sorted({below, below + patch, native or below}))
    raise UserError(f"image size {size} does not fit {name}: it must be a multiple of {patch}, such as {fitting}")


def _activation(tower: nn.Module) -> str | None:
    """Of a tower's blocks; None where it is a function of its own."""
    for module in tower.modules():
        if isinstance(module, nn.GELU):
            return "gelu" if module.approximate == "none" else "gelu_tanh"
        if type(module) in _ACTIVATIONS:
            return _ACTIVATIONS[type(module)]
    return "relu" if any(isinstance(module, nn.ReLU) for module in tower.modules()) else None


_ACTIVATIONS = {QuickGELU: "quickgelu", GELU: "gelu", GELUTanh: "gelu_tanh", nn.SiLU: "silu"}


def _cast(model: Any, dtype: torch.dtype, text_dtype: torch.dtype) -> None:
    """All of it but rotary positions, which are computed and not learned."""
    for key, tensor in chain(model.named_parameters(), model.named_buffers()):
        if tensor.is_floating_point() and ".rope." not in key:
            tensor.data = tensor.data.to(dtype if key.startswith("visual.") else text_dtype)
