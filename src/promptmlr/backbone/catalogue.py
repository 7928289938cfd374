"""Which models there are, and which of them have regions: from configurations alone, without downloading weights.

A model is named as open_clip names it: by one of its own names, `hf-hub:owner/name`, or `local-dir:folder`. Whether its
image tower has regions is seen on a copy without weights; `towers.csv` keeps what was seen of the pretrained ones.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.factory import parse_model_name
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from torch import nn

from promptmlr.backbone.building import build_image_tower
from promptmlr.backbone.download import hub_file
from promptmlr.backbone.image import tower_kind
from promptmlr.errors import UserError, first_names, nearest

__all__ = [
    "MINIATURES",
    "SCHEMES",
    "CatalogueEntry",
    "catalogue",
    "find_entry",
    "pretrained_names",
    "refused",
    "uses_quick_gelu",
]

MINIATURES = ("scenes", "scenes-vit")
"""The CLIPs that come with promptmlr: a ResNet's and a vision transformer's."""


SCHEMES = ("hf-hub:", "local-dir:")
"""How names begin that are no names of open_clip's own."""

CONFIG = "open_clip_config.json"


@dataclass(frozen=True)
class CatalogueEntry:
    """One model that has regions.

    Attributes:
        name: as it was asked for, a folder by its full path.
        config: as open_clip writes it down.
        patch: pixels per region along one side.
        image_size: pixels along one side of what it was trained on.
        scheme: "hf-hub" or "local-dir", where name and weights are one; "" for names of open_clip's own.
        mean: of the pixels of its images; a tag of open_clip's may say another.
        std: their standard deviation.
    """

    name: str
    config: dict[str, Any]
    patch: int
    image_size: int
    scheme: str = ""
    mean: tuple[float, ...] = OPENAI_DATASET_MEAN
    std: tuple[float, ...] = OPENAI_DATASET_STD

    @property
    def tags(self) -> tuple[str, ...]:
        """Of its pretrained weights."""
        return tuple(list_pretrained_tags_by_model(self.name))

    @property
    def place(self) -> str:
        """Behind the scheme: owner/name, or a folder."""
        return self.name.removeprefix(f"{self.scheme}:")

    @property
    def feature_width(self) -> int:
        """D."""
        return int(self.config["embed_dim"])

    def regions(self, image_size: int) -> int:
        """R at an image size, the global region included."""
        return (image_size // self.patch) ** 2 + 1

    @property
    def gflop(self) -> float:
        """10⁹ multiplications and additions of its image tower for an image of `image_size`; NaN is unknown."""
        return float(_table().get(self.name, {}).get("gflop", "nan"))

    @property
    def image_parameters(self) -> int | None:
        """Of a pretrained name of open_clip's."""
        return _number(self.name, "image_parameters")

    @property
    def text_parameters(self) -> int | None:
        """The same; None also for a text tower that is configured on the Hugging Face Hub."""
        return _number(self.name, "text_parameters")

    @property
    def needs_transformers(self) -> bool:
        """Whether Hugging Face's transformers read its texts."""
        text = self.config["text_cfg"]
        return "hf_model_name" in text or "hf_tokenizer_name" in text

    @property
    def missing_extra(self) -> str | None:
        """What has to be installed for its texts, or None."""
        return "text" if self.needs_transformers and find_spec("transformers") is None else None


def pretrained_names() -> list[str]:
    """All names that open_clip has weights of, sorted."""
    return sorted({name for name, _ in open_clip.list_pretrained()})


def catalogue() -> Iterator[CatalogueEntry]:
    """Every pretrained model of open_clip with regions, sorted by name."""
    for name in pretrained_names():
        config = open_clip.get_model_config(name)
        if _refusal(name, config) is None:
            yield _entry(name, config)


def refused() -> Iterator[tuple[str, str]]:
    """Every pretrained model of open_clip without regions, sorted by name, and why."""
    for name in pretrained_names():
        reason = _refusal(name, open_clip.get_model_config(name))
        if reason is not None:
            yield name, reason


def find_entry(name: str) -> CatalogueEntry:
    """The entry of one model.

    Raises:
        UserError: there is no such model, or it has no regions.
        EnvironmentFault: the configuration of one on the Hugging Face Hub could not be downloaded.
    """
    try:
        scheme, place = parse_model_name(name)
    except ValueError as error:
        raise UserError(f"backbone {name!r}: {error}; write hf-hub:owner/name or local-dir:FOLDER") from error
    if scheme is not None:
        whole = _whole_config(name, scheme, place)
        config, pixels = whole["model_cfg"], whole.get("preprocess_cfg", {})
    else:
        config, pixels = open_clip.get_model_config(name) if name in open_clip.list_models() else None, {}
    if config is None and Path(place).is_dir():
        raise UserError(
            f"backbone {name!r} is a folder: write local-dir:{name} where an {CONFIG} lies in it, or name the file of "
            "weights in it"
        )
    if config is None:
        supported = [entry.name for entry in catalogue()]
        raise UserError(
            f"unknown backbone {name!r}: neither a file nor a model of open_clip; "
            f"{nearest(name, [*MINIATURES, *supported])} (`promptmlr backbones` lists all)"
        )
    reason = _refusal(name, config)
    if reason is not None:
        supported = [entry.name for entry in catalogue()]
        raise UserError(
            f"backbone {name!r} has no usable regions: {reason}; these work: {first_names(supported)} (`promptmlr "
            "backbones` lists all)"
        )
    if scheme == "local-dir":
        name = f"local-dir:{Path(place).resolve()}"  # a run may be used from another folder
    return _entry(name, config, scheme or "", pixels)


def uses_quick_gelu(name: str, tag: str) -> bool:
    """Whether these weights were trained with QuickGELU; open_clip only warns if the model's configuration differs."""
    by_name = open_clip.get_model_config(name).get("quick_gelu", False)
    return bool(by_name or get_pretrained_cfg(name, tag).get("quick_gelu", False))


def _whole_config(name: str, scheme: str, place: str) -> dict[str, Any]:
    """What `open_clip_config.json` of a repository or a folder says."""
    path = Path(place) / CONFIG if scheme == "local-dir" else hub_file(place, CONFIG)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for key in ("embed_dim", "vision_cfg", "text_cfg"):
            content["model_cfg"][key]
        text = content["model_cfg"]["text_cfg"]
        if scheme == "local-dir" and "hf_model_name" in text and (path.parent / text["hf_model_name"]).is_dir():
            text["hf_model_name"] = str(path.parent / text["hf_model_name"])  # which open_clip looks for on the Hub
    except FileNotFoundError as error:
        raise UserError(f"backbone {name}: there is no {path}; open_clip writes it beside the weights") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"backbone {name}: {path} is no configuration that open_clip writes ({error})") from error
    return content


def _refusal(name: str, config: dict[str, Any]) -> str | None:
    """Why a model has no usable regions, or None when it has them."""
    if config["text_cfg"].get("tokenizer_mode"):
        return f"its tokenizer makes rows in a way of its own ({config['text_cfg']['tokenizer_mode']})"
    if name in _table():
        return None
    try:
        tower_kind(_without_weights(json.dumps(config)))
    except UserError as error:
        return str(error)
    except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
        return f"its image tower cannot be built here: {str(error).splitlines()[0]:.100}"
    return None


def _entry(name: str, config: dict[str, Any], scheme: str = "", pixels: dict[str, Any] | None = None) -> CatalogueEntry:
    row = _table().get(name)
    if row is not None:
        patch, size = int(row["patch"]), int(row["image_size"])
    else:
        tower = _without_weights(json.dumps(config))
        patch, size = tower_kind(tower).patch_side(tower), native_size(tower)
    means = {key: tuple(pixels[key]) for key in ("mean", "std") if pixels and pixels.get(key)}
    return CatalogueEntry(name, config, patch, size, scheme, **means)


def native_size(visual: Any) -> int:
    """Pixels along one side of what a tower was made for, 0 where it does not say; timm's know it best."""
    patches = getattr(getattr(visual, "trunk", None), "patch_embed", None)
    size: Any = getattr(patches, "img_size", None) or getattr(visual, "image_size", 0)
    return int(size if isinstance(size, int) else size[0])


@cache
def _table() -> dict[str, dict[str, str]]:
    """What was seen of open_clip's pretrained models: `python bench/towers.py --table` writes it."""
    with files("promptmlr.backbone").joinpath("towers.csv").open(encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def _number(name: str, column: str) -> int | None:
    found = _table().get(name, {}).get(column)
    return int(found) if found else None


@cache
def _without_weights(config: str) -> nn.Module:
    with torch.device("meta"):
        return build_image_tower(json.loads(config))
