"""The miniature CLIP: open_clip's own modules in OpenAI's layout, and the forward passes that pretraining needs."""

from collections.abc import Iterable

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from promptmlr import functional
from promptmlr.scenes.captions import vocabulary
from promptmlr.scenes.world import CLASS_NAMES, IMAGE_SIZE

__all__ = [
    "TRANSFORMER",
    "WIDTH",
    "Tokenizer",
    "build",
    "encode_image",
    "encode_text",
    "load",
    "local_similarity",
    "normalise",
    "vocabulary_ids",
]

WIDTH = 128
"""Width of the text tower and of the space that images and text share."""

_VISION = CLIPVisionCfg(layers=(1, 1, 1, 1), width=16, image_size=IMAGE_SIZE)
TRANSFORMER = CLIPVisionCfg(layers=4, width=128, patch_size=8, image_size=IMAGE_SIZE // 2)
"""The image tower of the miniature's sibling, a vision transformer."""

_CONTEXT_LENGTH = 77


def vocabulary_ids(class_names: Iterable[str] = CLASS_NAMES) -> Tensor:
    """(n,) int64, ascending: the tokens of every word that captions and templates use; the end token comes last."""
    ids: Tensor = SimpleTokenizer()(list(vocabulary(class_names))).unique()
    return ids


def build(rows: int, vision: CLIPVisionCfg = _VISION) -> CLIP:
    """A miniature CLIP with a token table of `rows` rows, freshly initialised from torch's global generator."""
    text = CLIPTextCfg(context_length=_CONTEXT_LENGTH, vocab_size=rows, width=WIDTH, heads=WIDTH // 64, layers=3)
    return CLIP(WIDTH, vision, text, quick_gelu=True)


def load(state_dict: dict[str, Tensor]) -> CLIP:
    """A miniature CLIP with these weights, in evaluation mode; torch's global generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        model = build(len(state_dict["token_embedding.weight"]))
    model.load_state_dict(state_dict)
    model.eval()
    return model


class Tokenizer:
    """Turns captions into rows of the packed token table.

    Ids ascend, so the end token is the largest here too, and CLIP's pooling at the largest token holds.
    """

    def __init__(self, ids: Tensor) -> None:
        self._tokenizer, self._ids = SimpleTokenizer(), ids

    def __call__(self, captions: list[str]) -> Tensor:
        """Captions → (B, L) int64 rows of the table, L up to the longest end token."""
        tokens = self._tokenizer(captions)
        length = int((tokens != 0).sum(dim=1).max())
        return torch.searchsorted(self._ids, tokens[:, :length].contiguous())


def normalise(pixels: Tensor) -> Tensor:
    """(B, S, S, 3) uint8 scenes → (B, 3, S, S) float32, CLIP-normalised."""
    centre, spread = torch.tensor(OPENAI_DATASET_MEAN), torch.tensor(OPENAI_DATASET_STD)
    return ((pixels / 255 - centre) / spread).permute(0, 3, 1, 2)


def encode_image(model: CLIP, images: Tensor) -> tuple[Tensor, Tensor]:
    """CLIP's image feature (B, D), and its regions (B, R, D): the attention pool without its attention.

    The query of the attention pool is the mean token alone, so no other query is computed.

    Args:
        model: a CLIP with a ModifiedResNet.
        images: (B, 3, S, S) float, CLIP-normalised.
    """
    tower, pool = model.visual, model.visual.attnpool
    x = tower.layer4(tower.layer3(tower.layer2(tower.layer1(tower.stem(images)))))
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + pool.positional_embedding
    values = pool.v_proj(x)
    heads = [
        part.unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
        for part in (pool.q_proj(x[:, :1]), pool.k_proj(x), values)
    ]
    attended = scaled_dot_product_attention(*heads).flatten(1)
    return pool.c_proj(attended).float(), pool.c_proj(values).float()


def encode_text(model: CLIP, rows: Tensor) -> Tensor:
    """Rows of the token table (B, L) → text features (B, D); the causal mask makes a short L exact."""
    length = rows.shape[1]
    x = model.token_embedding(rows) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)[torch.arange(len(rows)), rows.argmax(dim=1)]
    features: Tensor = x @ model.text_projection
    return features.float()


def local_similarity(regions: Tensor, vectors: Tensor) -> Tensor:
    """Mean cosine of regions (B, R, D) with vectors (C, D), weighted as recognition does → (B, C) in [-1, 1]."""
    similarity = functional.cosine_map(regions, vectors)
    scale = functional.SIMILARITY_SCALE * functional.LOGIT_SCALE
    return functional.aggregate(similarity, functional.region_weights(similarity)) / scale
