"""The last step of the pretraining: the modality gap between the features of images and texts, as in CLIP.

Features of each modality lie in a narrow cone, and the two cones are far apart (Liang and others, "Mind the Gap",
2022).

All text features of a CLIP share a large common part, and so do all its image features; classes differ by little beside
it. The miniature's would spread over the whole sphere: 20 · cos then saturates the pair's softmax before any training
(margins of ±50), and its zero shot leaves nothing to learn. Two output biases put the common parts in.
"""

from collections.abc import Iterable

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from promptmlr.scenes import miniature
from promptmlr.scenes.drawing import DrawnWorld, SceneWorld
from promptmlr.scenes.world import CLASS_NAMES

__all__ = ["add_gap", "add_gap_to_texts", "add_gap_to_transformer", "common_image_part"]

COMMON_TO_OWN = 1.5
"""Length of the common part over the mean length of a feature before."""

_SEED = 0  # of the two directions, which have nothing to do with each other: the gap between CLIP's modalities
_SCENES = 200  # that the mean length of a region is taken over
_FIXED_POINT_STEPS = 100  # each brings the length closer by a factor, as the common part hardly points to the own one


_DRAWN = DrawnWorld()


def add_gap(state_dict: dict[str, Tensor], seed: int, world: SceneWorld = _DRAWN) -> dict[str, Tensor]:
    """Add a common part to all text features and to all image features.

    Args:
        state_dict: OpenAI's layout, float32, with the full token table.
        seed: of the scenes that the length of image features is measured on.
        world: where they come from, and the classes whose texts are measured.

    Returns:
        The same tensors but for `ln_final.bias` and `visual.attnpool.c_proj.bias`.
    """
    return _add_to_images(add_gap_to_texts(state_dict, world.frequencies), seed, world)


@torch.no_grad()
def add_gap_to_texts(state_dict: dict[str, Tensor], class_names: Iterable[str] = CLASS_NAMES) -> dict[str, Tensor]:
    """The half of `add_gap` that is about text: the same tensors but for `ln_final.bias`."""
    texts = miniature.encode_text(
        miniature.load(state_dict), SimpleTokenizer()([f"a photo of a {name}." for name in class_names])
    )
    direction, _ = _directions()
    shift = direction @ state_dict["text_projection"]
    bias = state_dict["ln_final.bias"] + direction * (_common_length(texts) / shift.norm())
    return state_dict | {"ln_final.bias": bias}


@torch.no_grad()
def _add_to_images(state_dict: dict[str, Tensor], seed: int, world: SceneWorld) -> dict[str, Tensor]:
    pixels = torch.stack([torch.from_numpy(world.scene(seed, index).image) for index in range(_SCENES)])
    _, regions = miniature.encode_image(miniature.load(state_dict), miniature.normalise(pixels))
    _, direction = _directions()
    bias = state_dict["visual.attnpool.c_proj.bias"] + direction * (_common_length(regions) / direction.norm())
    return state_dict | {"visual.attnpool.c_proj.bias": bias}


@torch.no_grad()
def add_gap_to_transformer(state_dict: dict[str, Tensor], pooled: Tensor) -> dict[str, Tensor]:
    """The half of `add_gap` that is about images, for a vision transformer.

    Args:
        state_dict: as for `add_gap`.
        pooled: (B, D) features of some images, for their mean length.

    Returns:
        The same tensors but for `visual.ln_post.bias`.
    """
    _, direction = _directions()
    shift = direction @ state_dict["visual.proj"]
    bias = state_dict["visual.ln_post.bias"] + direction * (_common_length(pooled) / shift.norm())
    return state_dict | {"visual.ln_post.bias": bias}


def common_image_part(regions: Tensor) -> Tensor:
    """The common part that image features owe to `add_gap`, read off features that have it.

    Its direction is known; its length is the one that `add_gap` would give to what is left without it.

    Args:
        regions: (B, R, D) of many scenes.

    Returns:
        (D,), to be subtracted.
    """
    _, direction = _directions()
    direction = direction / direction.norm()
    length = torch.tensor(0.0)
    for _ in range(_FIXED_POINT_STEPS):
        length = _common_length(regions - length * direction)
    common: Tensor = length * direction
    return common


def _directions() -> tuple[Tensor, Tensor]:
    """Where the common parts of texts, before their projection, and of images lie."""
    generator = torch.Generator().manual_seed(_SEED)
    return torch.randn(miniature.WIDTH, generator=generator), torch.randn(miniature.WIDTH, generator=generator)


def _common_length(features: Tensor) -> Tensor:
    length: Tensor = COMMON_TO_OWN * features.norm(dim=-1).mean()
    return length
