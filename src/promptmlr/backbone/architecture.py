"""Which architecture a checkpoint looks like, by the shapes of its tensors."""

from collections.abc import Mapping
from typing import Any

import open_clip
from torch import Tensor

from promptmlr.backbone.layouts import in_plain_layout, without_prefixes

__all__ = ["looks_like"]


def looks_like(state: Mapping[str, Tensor]) -> str:
    """In words, with the names of open_clip's that have these shapes; never raises."""
    state = in_plain_layout(without_prefixes(state))
    names = [name for name in open_clip.list_models() if _agrees(open_clip.get_model_config(name), state)]
    first = min(names, key=len, default=None)
    named = "" if first is None else f", as {first}"
    return f"{_image_tower(state)}{named}"


def _image_tower(state: Mapping[str, Tensor]) -> str:
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    for start, patches, blocks in (
        ("visual.", "visual.conv1.weight", "visual.transformer.resblocks."),
        ("visual.trunk.", "visual.trunk.patch_embed.proj.weight", "visual.trunk.blocks."),
        ("vision_model.", "vision_model.embeddings.patch_embedding.weight", "vision_model.encoder.layers."),
    ):
        depth = len({key[len(blocks) :].split(".")[0] for key in shapes if key.startswith(blocks)})
        if depth and len(shapes.get(patches, ())) == 4:
            width, side = shapes[patches][0], shapes[patches][-1]
            kind = {"visual.": "open_clip's", "visual.trunk.": "timm's", "vision_model.": "Hugging Face's"}[start]
            return f"{kind} transformer of {depth} blocks, {width} wide, with patches of {side} pixels"
    if any(key.startswith("visual.layer4.") for key in shapes):
        return "one of CLIP's ResNets"
    if any(key.startswith("visual.trunk.") for key in shapes):
        return "a convolutional network of timm's"
    if any(key.startswith("visual.") for key in shapes):
        return "an image tower of another kind"
    return f"no CLIP: its names begin with {', '.join(sorted({key.split('.')[0] for key in shapes})[:3]) or 'nothing'}"


def _agrees(config: dict[str, Any], state: Mapping[str, Tensor]) -> bool:
    """Whether the towers of a configuration of open_clip's own kinds have these widths and depths."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    if "timm_model_name" in vision or "hf_model_name" in text or config.get("quick_gelu"):
        return False
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    layers = vision.get("layers")
    if isinstance(layers, list):
        image = all(
            len({key.split(".")[2] for key in shapes if key.startswith(f"visual.layer{stage}.")}) == count
            for stage, count in enumerate(layers, start=1)
        ) and shapes.get("visual.conv1.weight", (0,))[0] * 2 == vision.get("width", 64)
    else:
        blocks = {key.split(".")[3] for key in shapes if key.startswith("visual.transformer.resblocks.")}
        patches = (vision.get("width", 768), 3, vision.get("patch_size", 16), vision.get("patch_size", 16))
        image = len(blocks) == layers and shapes.get("visual.conv1.weight") == patches
    table = shapes.get("token_embedding.weight", ())
    size = vision.get("image_size", 224)
    grid = size // (vision.get("patch_size") or 32)
    positions = shapes.get("visual.positional_embedding") or shapes.get("visual.attnpool.positional_embedding") or (0,)
    fits_text = table == (text.get("vocab_size"), text.get("width")) and positions[0] == grid**2 + 1
    projection = shapes.get("text_projection", (0, 0))
    return image and fits_text and projection[-1] == config["embed_dim"]
