"""Opening a frozen CLIP by name, tag or file."""

from pathlib import Path
from typing import Any

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.pretrained import get_pretrained_cfg
from torch import nn

from promptmlr.backbone.base import Backbone, checked_device
from promptmlr.backbone.catalogue import find_entry, uses_quick_gelu
from promptmlr.backbone.checkpoint import (
    build_open_clip_model,
    build_openai_model,
    build_random_model,
    own_state_dict,
    read_state_dict,
)
from promptmlr.backbone.clip import ClipBackbone
from promptmlr.backbone.download import download_weights, find_weights
from promptmlr.backbone.precision import Precision, tower_dtypes
from promptmlr.backbone.preprocessing import Preprocessing
from promptmlr.errors import UserError

__all__ = [
    "PAPER_IMAGE_SIZE",
    "bare_backbone",
    "bare_model",
    "is_downloaded",
    "load_backbone",
    "of_open_clip",
    "open_backbone",
]

PAPER_IMAGE_SIZE = 448


def of_open_clip(name: str | Path) -> bool:
    """Whether a backbone is a model that open_clip builds and downloads, not the miniature or a file."""
    return str(name) != "scenes" and not Path(name).is_file()


def is_downloaded(name: str | Path, pretrained: str | None) -> bool:
    """Whether the weights of a backbone are downloaded unless open_clip's cache holds them."""
    return of_open_clip(name) and find_weights(find_entry(str(name)), pretrained or "openai")[1] is None


def open_backbone(
    name: str | Path = "RN101",
    pretrained: str | None = None,
    image_size: int | None = None,
    precision: Precision = "auto",
    device: str = "cpu",
    begun: tuple[torch.dtype, torch.dtype] | None = None,
) -> Backbone:
    """`load_backbone` with defaults for training: open_clip's models at the paper's 448 px, dtypes by precision.

    Args and errors as `load_backbone` and `tower_dtypes`; `begun` are the dtypes of image and text tower at the start
    of a resumed run, which "auto" keeps.
    """
    dtype, text_dtype = begun if begun and precision == "auto" else tower_dtypes(precision, device)
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
        pretrained: for a model of open_clip its tag ("openai" when None), a checkpoint file, or "TAG=FILE": a file that
            holds the weights of the tag, whose activation and normalisation it gets.
        image_size: S in pixels; None is the size of its pretraining. Positional embeddings are interpolated.
        device: for example "cuda"; None is the CPU.
        quick_gelu: override the activation. None follows open_clip's tag; OpenAI's layout means QuickGELU.
        dtype: of the image tower's weights, cast once; measured effect in bench/precision.py.
        text_dtype: of the text tower's weights, cast once; None is `dtype`.

    Raises:
        UserError: an unknown name or tag, no regions, an unreadable checkpoint or one of another model, or a wrong
            size.
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
    """The open_clip model of a name on the CPU, before a `Backbone` folds and casts it.

    For measurements of cost, which do not depend on values: models of open_clip have random weights, so nothing is
    downloaded.

    Args:
        name: as for `load_backbone`.

    Raises:
        UserError: an unknown name, no regions, an unreadable checkpoint or one of another model.
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
    tag, file = find_weights(entry, str(pretrained or "openai"))
    file = file or download_weights(name, tag)
    gelu = uses_quick_gelu(name, tag) if quick_gelu is None else quick_gelu
    model = build_open_clip_model(name, read_state_dict(file), str(file), gelu)
    config = get_pretrained_cfg(name, tag)
    preprocessing = Preprocessing(
        entry.image_size if image_size is None else image_size,
        tuple(config.get("mean") or OPENAI_DATASET_MEAN),
        tuple(config.get("std") or OPENAI_DATASET_STD),
    )
    return ClipBackbone(model.to(device), name, tag or str(file), preprocessing, dtype, text_dtype)


def _native_size(model: Any) -> int:
    size = model.visual.image_size
    return int(size if isinstance(size, int) else size[0])
