"""ClearCLIP's way: each patch sees those whose queries are like its own; no residual, no feed-forward network.

Lan and others, "ClearCLIP: Decomposing CLIP Representations for Dense Vision-Language Inference" (2024); released
`custom_attn` and `ignore_residual=True` in open_clip/transformer.py of mc-lan/ClearCLIP.
"""

from torch import Tensor

from promptmlr.backbone.image.parts import parts_of, self_weights
from promptmlr.backbone.image.ways.way import BeforeLast, Way

__all__ = ["WAY", "clear_patches"]


def clear_patches(before: BeforeLast) -> Tensor:
    """(B, h·w, W): softmax(q·qᵀ/√d) · v over all tokens, projected."""
    parts = parts_of(before)
    query, _, value = parts.heads(before.tokens)
    return parts.project(self_weights(query) @ value)[:, before.first :]


WAY = Way("clear", clear_patches)
