"""The frozen CLIP: images → regions, text → features. `load_backbone` is the way in."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.modified_resnet import ModifiedResNet
from open_clip.pretrained import download_pretrained, get_pretrained_cfg
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import QuickGELU
from torch import Tensor, nn

from promptmlr.backbone.base import Backbone, checked_device
from promptmlr.backbone.catalogue import catalogue, find_entry, uses_quick_gelu
from promptmlr.backbone.checkpoint import (
    build_open_clip_model,
    build_openai_model,
    build_random_model,
    own_state_dict,
    read_state_dict,
)
from promptmlr.backbone.ensemble import PRESENCE_TEMPLATE, Templates, class_sentences, ensemble_features
from promptmlr.backbone.fused import resnet_trunk
from promptmlr.backbone.given import GivenFeatures
from promptmlr.backbone.image import fold_batch_norms, patch_side, resnet_regions, vit_regions
from promptmlr.backbone.precision import Precision, tower_dtypes
from promptmlr.backbone.preprocessing import Preprocessing
from promptmlr.backbone.text import TextTower
from promptmlr.backbone.tower import ImageTower
from promptmlr.errors import EnvironmentFault, UserError, nearest
from promptmlr.names import checked_path

__all__ = [
    "PAPER_IMAGE_SIZE",
    "PRESENCE_TEMPLATE",
    "Backbone",
    "ClipBackbone",
    "GivenFeatures",
    "ImageTower",
    "Precision",
    "Preprocessing",
    "Templates",
    "bare_backbone",
    "bare_model",
    "catalogue",
    "class_sentences",
    "ensemble_features",
    "load_backbone",
    "of_open_clip",
    "open_backbone",
    "tower_dtypes",
]

PAPER_IMAGE_SIZE = 448
CHUNK_PIXELS = 4 * 448**2  # through the tower at once on a CPU: what comes out of a layer then stays in its cache


class ClipBackbone(Backbone):
    """An open_clip model whose weights never change.

    Args:
        model: an open_clip model with float32 weights; kept in evaluation mode, frozen, cast in place.
        name: how `load_backbone` was asked for it.
        pretrained: tag or file of its weights, or None.
        preprocessing: size and normalisation of its images.
        dtype: of the image tower's weights.
        text_dtype: of the text tower's weights; None is `dtype`.
    """

    def __init__(
        self,
        model: Any,
        name: str,
        pretrained: str | None,
        preprocessing: Preprocessing,
        dtype: torch.dtype = torch.float32,
        text_dtype: torch.dtype | None = None,
    ) -> None:
        patch = patch_side(model.visual)
        if preprocessing.image_size < patch or preprocessing.image_size % patch:
            raise UserError(
                f"image size {preprocessing.image_size} does not fit {name}: it must be a multiple of {patch}"
            )
        self._model = model.eval().requires_grad_(False)
        self.weights_sha256 = _sha256(model)  # before folds and casts: the same weights are the same at every dtype
        _make_fast(model, dtype, text_dtype or dtype)
        visual = model.visual
        self._regions_of = (
            partial(resnet_regions, visual, resnet_trunk(visual))
            if isinstance(visual, ModifiedResNet)
            else partial(vit_regions, visual)
        )
        self.name = name
        self.pretrained = pretrained
        self._preprocessing = preprocessing
        self._text = TextTower(model, SimpleTokenizer())
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
        """It has one."""
        return True

    @property
    def has_class_features(self) -> bool:
        """Of all classes there are."""
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
        """Where the weights are."""
        return self._some_weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the image tower's weights."""
        return self._some_weight.dtype

    @property
    def quick_gelu(self) -> bool:
        """Whether the image tower's activation is QuickGELU, which its weights do not tell."""
        return any(isinstance(module, QuickGELU) for module in self._model.visual.modules())

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> Tensor:
        """Dense regions (B, R, D) of (B, 3, S, S) normalised images, in the weights' dtype; region 0 is global."""
        at_once = max(CHUNK_PIXELS // self.image_size**2, 1) if self.device.type == "cpu" else max(len(images), 1)
        return torch.cat([self._regions_of(chunk.to(self.device, self.dtype)) for chunk in images.split(at_once)])

    def image_tower(self) -> ImageTower:
        """The image tower alone, as a module in float32 whatever it is cast to here; a copy."""
        return ImageTower(self._model.visual, self.grid)

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
        """(C, D) features of the template's sentences, not normalised; one for all classes where it has no {}."""
        texts = [template.format(name) for name in class_names] if "{}" in template else [template]
        return self.encode_text(texts).expand(len(class_names), -1)

    def identity(self) -> dict[str, Any]:
        """Name, weights, precision and preprocessing, as written into a run's config.

        `weights_sha256` is the hash of all weights, names and shapes as they were loaded, whatever they are cast to.
        """
        return {
            "name": self.name,
            "pretrained": self.pretrained,
            "weights_sha256": self.weights_sha256,
            "dtype": str(self.dtype).removeprefix("torch."),
            "text_dtype": str(self.text.dtype).removeprefix("torch."),
            "feature_width": self.feature_width,
            "preprocessing": self.preprocessing.as_dict(),
        }


def of_open_clip(name: str | Path) -> bool:
    """Whether a backbone is a model that open_clip builds and downloads, not the miniature or a file."""
    return str(name) != "scenes" and not Path(name).is_file()


def open_backbone(
    name: str | Path = "RN101",
    pretrained: str | None = None,
    image_size: int | None = None,
    precision: Precision = "auto",
    device: str = "cpu",
) -> Backbone:
    """`load_backbone` with what suits training: open_clip's models at the paper's 448 px, dtypes by precision.

    Args and errors as `load_backbone` and `tower_dtypes`.
    """
    dtype, text_dtype = tower_dtypes(precision, device)
    size = image_size or (PAPER_IMAGE_SIZE if of_open_clip(name) else None)
    return load_backbone(name, pretrained, size, device, dtype=dtype, text_dtype=text_dtype)


def load_backbone(
    name: str | Path,
    pretrained: str | Path | None = None,
    image_size: int | None = None,
    device: str | torch.device | None = None,
    *,
    quick_gelu: bool | None = None,
    dtype: torch.dtype = torch.float32,
    text_dtype: torch.dtype | None = None,
) -> Backbone:
    """Load a frozen CLIP that has regions.

    Args:
        name: "scenes" (the miniature CLIP that comes with promptmlr), a model of open_clip, or the path of a
            checkpoint in OpenAI's layout (`.safetensors`, `.pt`, OpenAI's TorchScript archive).
        pretrained: for a model of open_clip its tag ("openai" when None) or a checkpoint file.
        image_size: S in pixels; None is the size it was trained at. Positions are interpolated.
        device: for example "cuda"; None is the CPU.
        quick_gelu: override the activation. None follows open_clip's tag; OpenAI's layout means QuickGELU.
        dtype: of the image tower's weights, cast once; measured effect in bench/precision.py.
        text_dtype: of the text tower's weights, cast once; None is `dtype`.

    Raises:
        UserError: unknown name or tag, no regions, an unreadable or foreign checkpoint, a size that does not fit.
        EnvironmentFault: the weights could not be downloaded.
    """
    device = checked_device(device)
    own = own_state_dict(name)
    if own is None:
        return _load_open_clip(str(name), pretrained, image_size, device, quick_gelu, dtype, text_dtype)
    source, state = own
    if pretrained is not None:
        raise UserError(f"{source} already names its weights; leave `pretrained` out")
    model = build_openai_model(state, source, True if quick_gelu is None else quick_gelu)
    return _with_openai_preprocessing(model, source, image_size, device, dtype, text_dtype)


def bare_model(name: str | Path) -> nn.Module:
    """The open_clip model behind a name as it is before a `Backbone` folds and casts it, on the CPU.

    For measuring, as costs do not depend on values: a model of open_clip has random weights, nothing is downloaded.

    Args:
        name: as for `load_backbone`.

    Raises:
        UserError: unknown name, no regions, an unreadable or foreign checkpoint.
    """
    own = own_state_dict(name)
    if own is None:
        return build_random_model(find_entry(str(name)).name)
    source, state = own
    return build_openai_model(state, source)


def bare_backbone(
    name: str | Path,
    image_size: int | None = None,
    device: str | torch.device | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    text_dtype: torch.dtype | None = None,
) -> Backbone:
    """`bare_model` as a backbone; arguments and errors as `load_backbone`."""
    device = checked_device(device)
    return _with_openai_preprocessing(bare_model(name), str(name), image_size, device, dtype, text_dtype)


def _with_openai_preprocessing(
    model: nn.Module,
    name: str,
    image_size: int | None,
    device: torch.device,
    dtype: torch.dtype,
    text_dtype: torch.dtype | None,
) -> Backbone:
    size = _native_size(model) if image_size is None else image_size
    preprocessing = Preprocessing(size, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    return ClipBackbone(model.to(device), name, None, preprocessing, dtype, text_dtype)


def _load_open_clip(
    name: str,
    pretrained: str | Path | None,
    image_size: int | None,
    device: torch.device,
    quick_gelu: bool | None,
    dtype: torch.dtype,
    text_dtype: torch.dtype | None,
) -> Backbone:
    entry = find_entry(name)
    weights = str(pretrained or "openai")
    if weights in entry.tags:
        file = _download(name, weights)
    elif checked_path(weights).is_file():
        file = Path(weights).resolve()
        weights = str(file)
    else:
        known = nearest(weights, entry.tags) if entry.tags else "it has no tags: name a file"
        raise UserError(f"{name} has no pretrained tag {weights!r} and there is no such file; {known}")
    gelu = uses_quick_gelu(name, weights) if quick_gelu is None else quick_gelu
    model = build_open_clip_model(name, read_state_dict(file), str(file), gelu)
    config = get_pretrained_cfg(name, weights)
    preprocessing = Preprocessing(
        entry.image_size if image_size is None else image_size,
        tuple(config.get("mean") or OPENAI_DATASET_MEAN),
        tuple(config.get("std") or OPENAI_DATASET_STD),
    )
    return ClipBackbone(model.to(device), name, weights, preprocessing, dtype, text_dtype)


def _sha256(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(f"{key}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _make_fast(model: Any, dtype: torch.dtype, text_dtype: torch.dtype) -> None:
    """Once, in place: a ResNet runs channels-last, its batch norms folded into its convolutions; then the casts."""
    if isinstance(model.visual, ModifiedResNet):
        fold_batch_norms(model.visual)
        model.visual.to(memory_format=torch.channels_last)
    for key, tensor in chain(model.named_parameters(), model.named_buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype if key.startswith("visual.") else text_dtype)


def _download(name: str, tag: str) -> Path:
    retries = logging.getLogger("huggingface_hub")  # a line for each of them, which says less than ours at the end
    level = retries.level
    retries.setLevel(logging.ERROR)
    try:
        return Path(download_pretrained(get_pretrained_cfg(name, tag)))
    except Exception as error:  # whatever its downloaders met
        reason = (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0][:200]
        raise EnvironmentFault(_how_to_place(name, tag, reason)) from error
    finally:
        retries.setLevel(level)


def _how_to_place(name: str, tag: str, reason: str) -> str:
    """One line that says which file to put where when there is no network."""
    config = get_pretrained_cfg(name, tag)
    source = config.get("url") or f"open_clip_pytorch_model.bin of {config['hf_hub'].strip('/')} on Hugging Face"
    # A file does not tell its activation; the name of the model must.
    by_tag_alone = uses_quick_gelu(name, tag) and not uses_quick_gelu(name, "")
    return (
        f"cannot download {name} ({tag}): {reason}; without a network, fetch {source} on another machine and pass "
        f"the file: --backbone {name}{'-quickgelu' if by_tag_alone else ''} --pretrained FILE (or look around "
        "with the miniature: --backbone scenes)"
    )


def _native_size(model: Any) -> int:
    size = model.visual.image_size
    return int(size if isinstance(size, int) else size[0])
