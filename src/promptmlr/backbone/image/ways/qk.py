"""SCLIP's way: each patch sees those whose queries, or keys, are like its own, and the rest of the block stays.

Wang and others, "SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference" (2024); released
`custom_attn(csa=True)` in clip/model.py of wangf3014/SCLIP, where the two softmaxes are added and not averaged.
"""

from torch import Tensor

from promptmlr.backbone.image.parts import parts_of, self_weights
from promptmlr.backbone.image.ways.way import BeforeLast, Way

__all__ = ["WAY", "qk_patches"]


def qk_patches(before: BeforeLast) -> Tensor:
    """(B, h·w, W): the block with (softmax(q·qᵀ/√d) + softmax(k·kᵀ/√d)) · v over all tokens as its attention."""
    parts = parts_of(before)
    query, key, value = parts.heads(before.tokens)
    tokens = before.tokens + parts.project((self_weights(query) + self_weights(key)) @ value)
    return (tokens + parts.feed_forward(tokens))[:, before.first :]


WAY = Way("qk", qk_patches)
