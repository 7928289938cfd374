"""Models of open_clip from their configurations, with random weights."""

from copy import deepcopy
from typing import Any

import torch
from open_clip.coca_model import CoCa
from open_clip.model import CLIP, CustomTextCLIP, _build_vision_tower
from torch import nn

__all__ = ["build_image_tower", "build_model", "build_random_model"]


def build_model(config: dict[str, Any], quick_gelu: bool, with_bias: bool = False) -> nn.Module:
    """The model of a configuration, as open_clip builds it; nothing is downloaded but what a text tower is made like.

    Args:
        config: as open_clip writes it down.
        quick_gelu: the activation of its own towers.
        with_bias: a logit bias where the configuration has none.
    """
    config = _without_downloads(config)
    custom = config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]
    kind = CLIP if not custom else CoCa if "multimodal_cfg" in config else CustomTextCLIP
    if with_bias:
        config.setdefault("init_logit_bias", 0.0)
    model: nn.Module = kind(**{**config, "quick_gelu": quick_gelu})
    return model


def build_random_model(config: dict[str, Any]) -> nn.Module:
    """The model of a configuration, with QuickGELU as in OpenAI's, and always the same random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(config, quick_gelu=True)


def build_image_tower(config: dict[str, Any]) -> nn.Module:
    """The image tower of a configuration alone."""
    config = _without_downloads(config)
    tower: nn.Module = _build_vision_tower(config["embed_dim"], config["vision_cfg"], config.get("quick_gelu", False))
    return tower


def _without_downloads(config: dict[str, Any]) -> dict[str, Any]:
    config = deepcopy(config)
    if "timm_model_name" in config["vision_cfg"]:
        config["vision_cfg"]["timm_model_pretrained"] = False
    if "hf_model_name" in config["text_cfg"]:
        config["text_cfg"]["hf_model_pretrained"] = False
    return config
