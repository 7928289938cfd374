"""The last step of the pretraining: the features of each modality into a cone, as CLIP's lie.

All text features of a CLIP share a large common part, and so do all its image features; classes differ by little beside
it. The miniature's would spread over the whole sphere: 20 · cos then saturates the pair's softmax before any training
(margins of ±50), and its zero shot leaves nothing to learn. Two output biases put the common parts in.
"""

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from promptmlr.scenes import miniature
from promptmlr.scenes.drawing import draw_scene
from promptmlr.scenes.world import CLASS_NAMES

__all__ = ["into_cones"]

COMMON_TO_OWN = 1.5
"""Length of the common part over the mean length of a feature before."""

_SEED = 0  # of the two directions, which have nothing to do with each other: the gap between CLIP's modalities
_SCENES = 200  # that the mean length of a region is taken over


@torch.no_grad()
def into_cones(state_dict: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Add a common part to all text features and to all image features.

    Args:
        state_dict: OpenAI's layout, float32, with the full token table.
        seed: of the scenes that the length of image features is measured on.

    Returns:
        The same tensors but for `ln_final.bias` and `visual.attnpool.c_proj.bias`.
    """
    model = miniature.build(len(state_dict["token_embedding.weight"]))
    model.load_state_dict(state_dict)
    model.eval()
    texts = miniature.encode_text(model, SimpleTokenizer()([f"a photo of a {name}." for name in CLASS_NAMES]))
    pixels = torch.stack([torch.from_numpy(draw_scene(seed, index).image) for index in range(_SCENES)])
    centre, spread = torch.tensor(OPENAI_DATASET_MEAN), torch.tensor(OPENAI_DATASET_STD)
    _, regions = miniature.encode_image(model, ((pixels / 255 - centre) / spread).permute(0, 3, 1, 2))

    generator = torch.Generator().manual_seed(_SEED)
    text_direction = torch.randn(miniature.WIDTH, generator=generator)
    image_direction = torch.randn(miniature.WIDTH, generator=generator)
    text_shift = text_direction @ state_dict["text_projection"]
    return state_dict | {
        "ln_final.bias": state_dict["ln_final.bias"] + text_direction * (_common_length(texts) / text_shift.norm()),
        "visual.attnpool.c_proj.bias": state_dict["visual.attnpool.c_proj.bias"]
        + image_direction * (_common_length(regions) / image_direction.norm()),
    }


def _common_length(features: Tensor) -> Tensor:
    length: Tensor = COMMON_TO_OWN * features.norm(dim=-1).mean()
    return length
