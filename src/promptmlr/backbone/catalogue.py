"""Which of open_clip's models have regions, read from their configurations without downloading anything."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import open_clip
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

from promptmlr.errors import UserError, nearest
from promptmlr.names import first_names

__all__ = ["CatalogueEntry", "catalogue", "find_entry", "refusal", "uses_quick_gelu"]


@dataclass(frozen=True)
class CatalogueEntry:
    """One model of open_clip that has regions."""

    name: str
    tags: tuple[str, ...]
    feature_width: int
    image_size: int
    patch: int

    def regions(self, image_size: int) -> int:
        """R at an image size, the global region included."""
        return (image_size // self.patch) ** 2 + 1


def refusal(config: dict[str, Any]) -> str | None:
    """Why a model of open_clip has no usable regions, or None if it has.

    It needs a native ModifiedResNet, or a VisionTransformer pooled at its class token, and a causal text tower with
    CLIP's tokenizer, pooled at the end token: without causality, shorter padding would change text features.
    """
    vision, text = config["vision_cfg"], config["text_cfg"]
    reasons = {
        "its image tower comes from timm": "timm_model_name" in vision,
        "its text tower comes from Hugging Face": "hf_model_name" in text,
        "CoCa pools with learned queries": "multimodal_cfg" in config or bool(vision.get("attentional_pool")),
        "its text tower is not causal": bool(text.get("no_causal_mask")),
        "its text is not pooled at CLIP's end token": text.get("pool_type", "argmax") != "argmax",
        "its tokenizer is not CLIP's": "hf_tokenizer_name" in text,
        "its image tower is pooled by averaging": vision.get("pool_type", "tok") != "tok",
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def catalogue() -> Iterator[CatalogueEntry]:
    """Every pretrained model of open_clip with regions, sorted by name."""
    for name in sorted({name for name, _ in open_clip.list_pretrained()}):
        config = open_clip.get_model_config(name)
        if refusal(config) is None:
            yield _entry(name, config)


def find_entry(name: str) -> CatalogueEntry:
    """The entry of one model.

    Raises:
        UserError: open_clip has no such model, or it has no regions.
    """
    # For "hf-hub:…" open_clip would download a configuration.
    config = open_clip.get_model_config(name) if name in open_clip.list_models() else None
    supported = [entry.name for entry in catalogue()]
    if config is None:
        raise UserError(
            f"unknown backbone {name!r}: neither a file nor a model of open_clip; "
            f"{nearest(name, ['scenes', *supported])} (`promptmlr backbones` lists all)"
        )
    reason = refusal(config)
    if reason is not None:
        raise UserError(
            f"backbone {name!r} has no usable regions: {reason}; these work: {first_names(supported)} (`promptmlr "
            "backbones` lists all)"
        )
    return _entry(name, config)


def uses_quick_gelu(name: str, tag: str) -> bool:
    """Whether these weights were trained with QuickGELU; open_clip only warns if the model's configuration differs."""
    by_name = open_clip.get_model_config(name).get("quick_gelu", False)
    return bool(by_name or get_pretrained_cfg(name, tag).get("quick_gelu", False))


def _entry(name: str, config: dict[str, Any]) -> CatalogueEntry:
    vision = config["vision_cfg"]
    return CatalogueEntry(
        name=name,
        tags=tuple(list_pretrained_tags_by_model(name)),
        feature_width=config["embed_dim"],
        image_size=vision["image_size"],
        patch=vision["patch_size"] or 32,
    )
