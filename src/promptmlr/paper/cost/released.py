"""The released algorithm with its own cost, for comparison in `promptmlr cost` and bench/speed.py.

Written from the documented behaviour of the released code (docs/paper-to-code.md), with open_clip's towers: in every
step the augmented images go through the image tower in float32; the attention pool computes attention weights that are
not used; prompts go through the text tower at all 77 positions, and its weights receive gradients that are not used; in
evaluation the text is encoded again for every batch. tests/parity compares its numbers with those of the released code.
"""

from collections.abc import Sequence
from typing import Any

import open_clip
import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn

__all__ = [
    "ReleasedBaseline",
    "ReleasedCosine",
    "ReleasedEmbedding",
    "ReleasedPrompt",
    "asymmetric_loss",
    "dense_regions",
    "evaluate",
    "has_released_tower",
    "learned_tensors",
    "open_text_tower",
    "train_step",
]

POSITIONS = 77


def has_released_tower(clip: Any) -> bool:
    """Whether the image tower is a ResNet, the only kind that the released code supports."""
    return isinstance(clip.visual, ModifiedResNet)


class ReleasedPrompt(nn.Module):
    """Contexts before class names through the text tower at all positions, plus an optional learned offset.

    Args:
        clip: an open_clip model, on its device.
        class_names: C names.
        context: (M, W) shared or (C, M, W) class-specific.
        offset: (C, D), or None.
    """

    def __init__(self, clip: Any, class_names: Sequence[str], context: Tensor, offset: Tensor | None) -> None:
        super().__init__()
        self.clip = clip
        self.context = nn.Parameter(context.clone())
        self.offset = None if offset is None else nn.Parameter(offset.clone())
        placeholders = " ".join(["X"] * context.shape[-2])
        tokens = open_clip.tokenize([f"{placeholders} {name}." for name in class_names], POSITIONS)
        self.tokens = tokens.to(context.device)
        with torch.no_grad():
            self.embedded = clip.token_embedding(self.tokens)

    def forward(self) -> Tensor:
        """(C, D) text features."""
        clip, length = self.clip, self.context.shape[-2]
        context = self.context.expand(len(self.tokens), length, -1)
        x = torch.cat([self.embedded[:, :1], context, self.embedded[:, 1 + length :]], dim=1)
        x = clip.transformer(x + clip.positional_embedding, attn_mask=clip.attn_mask)
        ends = self.tokens.argmax(dim=-1)
        x = clip.ln_final(x)[torch.arange(len(x), device=x.device), ends] @ clip.text_projection
        features: Tensor = x if self.offset is None else x + self.offset
        return features


class ReleasedEmbedding(nn.Module):
    """Vectors learned in the feature space.

    Args:
        vectors: (C, D).
    """

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.embedding = nn.Parameter(vectors.clone())

    def forward(self) -> Tensor:
        """(C, D)."""
        return self.embedding


class ReleasedCosine(nn.Module):
    """PositiveCoOp, NegativeCoOp and DualCoOp: two sides of class vectors, both maps weighted by the presence map."""

    def __init__(
        self, clip: Any, presence: ReleasedPrompt | ReleasedEmbedding, absence: ReleasedPrompt | ReleasedEmbedding
    ) -> None:
        super().__init__()
        self.clip = clip
        self.presence = presence
        self.absence = absence

    def logits(self, regions: Tensor) -> Tensor:
        """(B, R, D) → (B, 2, C)."""
        regions = nn.functional.normalize(regions, dim=-1)
        vectors = nn.functional.normalize(torch.cat([self.absence(), self.presence()]), dim=-1)
        maps = 20 * nn.functional.conv1d(regions.transpose(1, 2), vectors[:, :, None])
        absence, presence = maps.chunk(2, dim=1)
        weights = presence.softmax(dim=-1)
        return 5 * torch.stack([(absence * weights).sum(-1), (presence * weights).sum(-1)], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, 2, C) logits."""
        return self.logits(dense_regions(self.clip.visual, images))


class ReleasedBaseline(nn.Module):
    """One linear layer with 2 C rows, absence first, on the regions; every row weighted by its own map."""

    def __init__(self, clip: Any, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.clip = clip
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(bias.clone())

    def logits(self, regions: Tensor) -> Tensor:
        """(B, R, D) → (B, 2, C)."""
        maps = nn.functional.linear(regions, self.weight, self.bias).transpose(1, 2)
        logits: Tensor = 5 * (maps * maps.softmax(dim=-1)).sum(-1).unflatten(1, (2, -1))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, 2, C) logits."""
        return self.logits(dense_regions(self.clip.visual, images))


@torch.no_grad()
def dense_regions(visual: Any, images: Tensor) -> Tensor:
    """(B, R, D) values of the attention pool; its attention weights are computed too, and not used."""
    x = visual.stem(images)
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        x = layer(x)
    pool, (height, width) = visual.attnpool, x.shape[-2:]
    positions = pool.positional_embedding
    side = round((len(positions) - 1) ** 0.5)
    grid = positions[1:].T.reshape(1, -1, side, side)
    grid = nn.functional.interpolate(grid, (height, width), mode="bicubic", align_corners=False)
    tokens = x.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(0, keepdim=True), tokens])
    tokens = tokens + torch.cat([positions[:1], grid.flatten(2)[0].T])[:, None]
    nn.functional.multi_head_attention_forward(
        tokens,
        tokens,
        tokens,
        tokens.shape[-1],
        pool.num_heads,
        in_proj_weight=None,
        in_proj_bias=torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=pool.c_proj.weight,
        out_proj_bias=pool.c_proj.bias,
        q_proj_weight=pool.q_proj.weight,
        k_proj_weight=pool.k_proj.weight,
        v_proj_weight=pool.v_proj.weight,
        use_separate_proj_weight=True,
        need_weights=True,
    )
    regions: Tensor = pool.c_proj(pool.v_proj(tokens)).transpose(0, 1)
    return regions


def asymmetric_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """γ₊ = 1, γ₋ = 2, margin 0.05, on the pair's softmax, summed over known labels."""
    absence, presence = logits.softmax(dim=1).unbind(dim=1)
    absence = (absence + 0.05).clamp(max=1)
    with torch.no_grad():
        focus_present, focus_absent = 1 - presence, (1 - absence) ** 2
    of_present = focus_present * presence.clamp(min=1e-6).log()
    of_absent = focus_absent * absence.clamp(min=1e-6).log()
    return -of_present[labels == 1].sum() - of_absent[labels == 0].sum()


def open_text_tower(clip: Any) -> Any:
    """Freeze the image tower and let every weight of the text tower require gradients, as released."""
    clip.eval().requires_grad_(True)
    clip.visual.requires_grad_(False)
    return clip


def learned_tensors(model: ReleasedCosine | ReleasedBaseline) -> list[nn.Parameter]:
    """The tensors that the optimizer updates, without the towers."""
    frozen = {id(weight) for weight in model.clip.parameters()}
    return [tensor for tensor in model.parameters() if id(tensor) not in frozen]


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
    """One step on augmented images; gradients of the text tower accumulate, because they are never cleared."""
    loss = asymmetric_loss(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def evaluate(model: nn.Module, images: Tensor, batch_size: int = 32) -> Tensor:
    """(N, C) P(present); the text is encoded again for every batch."""
    return torch.cat([model(batch).softmax(dim=1)[:, 1] for batch in images.split(batch_size)])
