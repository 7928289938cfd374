"""Opening a frozen CLIP by name, tag or file."""

from importlib import import_module
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.factory import get_tokenizer
from open_clip.pretrained import get_pretrained_cfg
from torch import nn

from promptmlr.backbone.base import Backbone, checked_device
from promptmlr.backbone.building import build_random_model
from promptmlr.backbone.catalogue import MINIATURES, CatalogueEntry, find_entry, native_size, uses_quick_gelu
from promptmlr.backbone.checkpoint import (
    activation_beside,
    build_open_clip_model,
    build_openai_model,
    checkpoint_in,
    own_state_dict,
    read_state_dict,
)
from promptmlr.backbone.choosing import DEFAULT_TOWER
from promptmlr.backbone.clip import ClipBackbone, check_size
from promptmlr.backbone.download import download_weights, find_weights, hub_weights, is_at_hand, quickly
from promptmlr.backbone.precision import Precision, tower_dtypes
from promptmlr.backbone.preprocessing import Preprocessing
from promptmlr.errors import UserError

__all__ = [
    "MINIATURES",
    "PAPER_IMAGE_SIZE",
    "bare_backbone",
    "bare_model",
    "is_downloaded",
    "load_backbone",
    "of_open_clip",
    "open_backbone",
    "usual_image_size",
]

PAPER_IMAGE_SIZE = 448


def of_open_clip(name: str | Path) -> bool:
    """Whether a backbone is a model that open_clip builds and downloads, not a miniature or a file."""
    return str(name) not in MINIATURES and not Path(name).is_file()


def is_downloaded(name: str | Path, pretrained: str | None) -> bool:
    """Whether the weights of a backbone are downloaded unless open_clip's cache holds them."""
    if str(name).startswith("hf-hub:"):
        return not is_at_hand(str(name).removeprefix("hf-hub:"))
    if not of_open_clip(name) or str(name).startswith("local-dir:"):
        return False
    return find_weights(find_entry(str(name)), pretrained)[1] is None


def usual_image_size(name: str | Path) -> int | None:
    """What training takes where no size is given: the paper's for CLIP's ResNets; None is the tower's own."""
    config = open_clip.get_model_config(str(name)) if str(name) in open_clip.list_models() else None
    is_resnet = config is not None and isinstance(config["vision_cfg"].get("layers"), list)
    return PAPER_IMAGE_SIZE if is_resnet else None


def open_backbone(
    name: str | Path | None = None,
    pretrained: str | None = None,
    image_size: int | None = None,
    precision: Precision = "auto",
    device: str = "cpu",
    begun: tuple[torch.dtype, torch.dtype] | None = None,
    regions: str | None = None,
    crops: int = 0,
) -> Backbone:
    """`load_backbone` with defaults for training: tower, size (`usual_image_size`) and dtypes by precision.

    Args and errors as `load_backbone` and `tower_dtypes`; a name of None is `DEFAULT_TOWER`; `begun` are the dtypes of
    image and text tower at the start of a resumed run, which "auto" keeps.
    """
    dtype, text_dtype = begun if begun and precision == "auto" else tower_dtypes(precision, device)
    if name is None:
        name, pretrained = DEFAULT_TOWER[0], pretrained or DEFAULT_TOWER[1]
    size = image_size or usual_image_size(name)
    return load_backbone(
        name, pretrained, size, device, dtype=dtype, text_dtype=text_dtype, regions=regions, crops=crops
    )


def load_backbone(
    name: str | Path,
    pretrained: str | Path | None = None,
    image_size: int | None = None,
    device: str | torch.device | None = None,
    *,
    quick_gelu: bool | None = None,
    dtype: torch.dtype = torch.float32,
    text_dtype: torch.dtype | None = None,
    regions: str | None = None,
    crops: int = 0,
) -> Backbone:
    """Load a frozen CLIP that has regions.

    Args:
        name: "scenes" or "scenes-vit" (the miniature CLIPs that come with promptmlr), a model of open_clip,
            "hf-hub:owner/name" or "local-dir:FOLDER" as open_clip spells them, or the path of a checkpoint in OpenAI's
            layout (`.safetensors`, `.pt`, OpenAI's TorchScript archive).
        pretrained: for a model of open_clip its tag (None is "openai", or the only one there is), a checkpoint file, or
            "TAG=FILE": a file that holds the weights of the tag, whose activation and normalisation it gets.
        image_size: S in pixels; None is the size of its pretraining. Positional embeddings are interpolated.
        device: for example "cuda"; None is the CPU.
        quick_gelu: override the activation. None follows open_clip's tag; OpenAI's layout means QuickGELU.
        dtype: of the image tower's weights, cast once; measured effect in bench/precision.py.
        text_dtype: of the text tower's weights, cast once; None is `dtype`.
        regions: how the regions of a transformer are made, a name of `image.WAYS`; None is its kind's default.
        crops: N: the tower sees N × N overlapping tiles as well (`Preprocessing`), whose global regions come last.

    Raises:
        UserError: an unknown name, tag or way, no regions, an unreadable checkpoint or one of another model, or a wrong
            size.
        EnvironmentFault: the weights could not be downloaded.
    """
    device = checked_device(device)
    own = own_state_dict(name)
    if own is None:
        return _load_open_clip(str(name), pretrained, image_size, device, quick_gelu, dtype, text_dtype, regions, crops)
    source, state = own
    if pretrained is not None:
        raise UserError(f"{source} already names its weights; leave `pretrained` out")
    model = build_openai_model(state, source, activation_beside(source) if quick_gelu is None else quick_gelu)
    return _with_openai_preprocessing(model, source, image_size, device, dtype, text_dtype, None, regions, crops)


def bare_model(name: str | Path) -> nn.Module:
    """The open_clip model of a name on the CPU, before a `Backbone` folds and casts it.

    For measurements of cost, which do not depend on values: models of open_clip have random weights, so nothing is
    downloaded but Hugging Face's tokenizers.

    Args:
        name: as for `load_backbone`.

    Raises:
        UserError: an unknown name, no regions, an unreadable checkpoint or one of another model.
    """
    own = own_state_dict(name)
    if own is None:
        entry = find_entry(str(name))
        _tokenizer(entry)  # says in one line what a text model of Hugging Face's is missing
        return build_random_model(entry.config)
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
    tokenizer = _tokenizer(find_entry(str(name))) if of_open_clip(name) else None
    return _with_openai_preprocessing(bare_model(name), str(name), image_size, device, dtype, text_dtype, tokenizer)


def _with_openai_preprocessing(
    model: nn.Module,
    name: str,
    image_size: int | None,
    device: torch.device,
    dtype: torch.dtype,
    text_dtype: torch.dtype | None,
    tokenizer: Any = None,
    regions: str | None = None,
    crops: int = 0,
) -> Backbone:
    size = native_size(model.visual) if image_size is None else image_size
    preprocessing = Preprocessing(size, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, crops=crops)
    return ClipBackbone(model.to(device), name, None, preprocessing, dtype, text_dtype, tokenizer, regions)


def _load_open_clip(
    name: str,
    pretrained: str | Path | None,
    image_size: int | None,
    device: torch.device,
    quick_gelu: bool | None,
    dtype: torch.dtype,
    text_dtype: torch.dtype | None,
    regions: str | None,
    crops: int,
) -> Backbone:
    entry = find_entry(name)
    name = entry.name
    if image_size is not None:  # said before anything is downloaded
        check_size(image_size, entry.patch, entry.image_size, name)
    tokenizer = _tokenizer(entry)
    if entry.scheme and pretrained is not None:
        raise UserError(f"{name} already names its weights; leave `pretrained` out")
    tag, file = ("", None) if entry.scheme else find_weights(entry, None if pretrained is None else str(pretrained))
    if entry.scheme == "local-dir":
        file = checkpoint_in(Path(entry.place))
    elif file is None:
        file = hub_weights(entry.place) if entry.scheme else download_weights(name, tag)
    named_quick = entry.config.get("quick_gelu", False) if entry.scheme else uses_quick_gelu(name, tag)
    gelu = bool(named_quick) if quick_gelu is None else quick_gelu
    model = build_open_clip_model(name, entry.config, read_state_dict(file), str(file), gelu)
    config = get_pretrained_cfg(name, tag)
    preprocessing = Preprocessing(
        entry.image_size if image_size is None else image_size,
        tuple(config.get("mean") or entry.mean),
        tuple(config.get("std") or entry.std),
        crops=crops,
    )
    weights = None if entry.scheme else tag or str(file)
    return ClipBackbone(model.to(device), name, weights, preprocessing, dtype, text_dtype, tokenizer, regions)


def _tokenizer(entry: CatalogueEntry) -> Any:
    """open_clip's for a model; of Hugging Face's, a file that is not in the cache is downloaded.

    Raises:
        UserError: transformers is not installed.
        EnvironmentFault: its file could not be downloaded.
    """
    if entry.missing_extra is not None:
        raise UserError(
            f"{entry.name} reads texts with Hugging Face's transformers, which is not installed; get it with: pip "
            f"install 'promptmlr[{entry.missing_extra}]'"
        )
    text = entry.config["text_cfg"]
    if "hf_model_name" in text:
        with quickly(f"the configuration of {entry.name}'s text model", _beside(text["hf_model_name"], "config.json")):
            import_module("transformers").AutoConfig.from_pretrained(text["hf_model_name"])
    if "hf_tokenizer_name" not in text or entry.scheme == "local-dir":
        return get_tokenizer(entry.name)
    with quickly(f"the tokenizer of {entry.name}", _beside(text["hf_tokenizer_name"], "the tokenizer's files")):
        return get_tokenizer(entry.name)


def _beside(repository: str, files: str) -> str:
    """What to do about files that a model takes from another repository."""
    return (
        f"fetch {files} of https://huggingface.co/{repository} on another machine into a folder, beside open_clip's "
        "configuration (open_clip_config.json) and weights of this model, and pass it: --backbone local-dir:FOLDER"
    )
