"""Pretraining of the miniature CLIP on scenes and their captions, in three stages.

1. words: the image tower learns which words its caption holds (binary cross-entropy; contrastive learning from scratch
   stays on its plateau at this budget).
2. text: contrastive, with a frozen image tower; the text tower learns to describe what the image tower sees.
3. joint: contrastive, both towers.

The schedule counts steps, not seconds, and each step has its own generator: a seed gives one result, and an interrupted
run continues to the same result.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import CLIP
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from promptmlr import files
from promptmlr.backbone.packing import pack, unpack
from promptmlr.errors import UserError
from promptmlr.scenes import miniature
from promptmlr.scenes.captions import ABSENCE_RATE, caption
from promptmlr.scenes.cutouts import CutoutWorld
from promptmlr.scenes.drawing import DrawnWorld, SceneWorld
from promptmlr.scenes.modality_gap import add_gap
from promptmlr.scenes.unfinished import load_unfinished, save_unfinished
from promptmlr.scenes.world import IMAGE_SIZE

__all__ = [
    "FIRST_SCENE",
    "WEIGHT_DECAY",
    "PretrainingConfig",
    "Stage",
    "contrastive_loss",
    "pretrain",
    "pretrain_to_file",
]

Progress = Callable[[int, int], None]
"""Called after each step with the number of finished steps and of all steps."""

FIRST_SCENE = 1_000_000_000  # beyond all scenes of training and test sets with the same seed
_CHECKPOINT_EVERY = 250  # steps
_WARM_UP = 100  # steps
WEIGHT_DECAY = 0.02


@dataclass(frozen=True)
class PretrainingConfig:
    """The settings of a pretraining.

    Attributes:
        seed: of the scenes, the initial weights, the batches and the captions.
        scenes: how many scenes are drawn beforehand; captions and mirroring are drawn afresh for every batch.
        batch_size: scenes per step.
        word_steps: steps of the first stage.
        text_steps: steps of the second stage.
        joint_steps: steps of the third stage.
        absence_rate: share of captions with a statement of absence, in [0, 1].
        cutouts: folder of cut-outs of photographs (`scenes.cutouts`) that scenes are made of; None: the drawn world.
    """

    seed: int = 0
    scenes: int = 30_000
    batch_size: int = 128
    word_steps: int = 2_200
    text_steps: int = 800
    joint_steps: int = 1_500
    absence_rate: float = ABSENCE_RATE
    cutouts: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.absence_rate <= 1:
            raise UserError(f"absence rate {self.absence_rate} is not a share: give a number from 0 to 1")
        if min(self.scenes, self.batch_size) < 1:
            raise UserError(f"{self.scenes} scenes in batches of {self.batch_size}: give at least 1 of each")

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.word_steps + self.text_steps + self.joint_steps

    def shortened(self, length: float) -> "PretrainingConfig":
        """The same with a share of its steps."""
        steps = (max(1, round(length * steps)) for steps in (self.word_steps, self.text_steps, self.joint_steps))
        word_steps, text_steps, joint_steps = steps
        return replace(self, word_steps=word_steps, text_steps=text_steps, joint_steps=joint_steps)

    def world(self) -> SceneWorld:
        """Where the scenes come from: of cut-outs, those of the photographs for training."""
        return DrawnWorld() if self.cutouts is None else CutoutWorld.load(self.cutouts, "train")


class _SceneBatches:
    """The scenes of a pretraining, drawn once, and the batches drawn from them."""

    def __init__(self, config: PretrainingConfig, ids: Tensor) -> None:
        self._config, self._tokenize = config, miniature.Tokenizer(ids)
        world = config.world()
        self._scenes = [world.scene(config.seed, FIRST_SCENE + index) for index in range(config.scenes)]
        # one value per column and channel: broadcasting over the channels alone takes ten times as long
        self._centre, self._spread = (
            255 * torch.tensor(x).repeat(IMAGE_SIZE) for x in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
        )

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Images (B, 3, S, S), CLIP-normalised, half of them mirrored; captions (B, L) as rows of the token table."""
        config = self._config
        rng = np.random.default_rng([config.seed, config.scenes, step])
        chosen = [self._scenes[index] for index in rng.integers(config.scenes, size=config.batch_size)]
        captions = [caption(scene, rng, config.absence_rate) for scene in chosen]
        mirrored = rng.random(len(chosen)) < 0.5
        pixels = np.stack([scene.image[:, :: -1 if flip else 1] for scene, flip in zip(chosen, mirrored, strict=True)])
        rows = torch.from_numpy(pixels).flatten(2).float().sub_(self._centre).div_(self._spread)
        return rows.unflatten(2, (IMAGE_SIZE, 3)).permute(0, 3, 1, 2), self._tokenize(captions)


class _Student(nn.Module):
    """The miniature CLIP in training, with a head of one vector per word that only the first stage uses."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.clip = miniature.build(rows)
        self.words = nn.Parameter(torch.randn(rows, miniature.WIDTH))
        self.bias = nn.Parameter(torch.full((rows,), -3.0))
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def word_loss(self, images: Tensor, rows: Tensor) -> Tensor:
        """Binary cross-entropy of the caption's words, summed over words, for the pooled image and its regions."""
        target = torch.zeros(len(rows), len(self.words)).scatter_(1, rows, 1.0)
        pooled, regions = self._encode_images(images)
        logits = [self.log_scale.exp() * score + self.bias for score in _similarities(pooled, regions, self.words)]
        losses = [binary_cross_entropy_with_logits(x, target) for x in logits]
        return torch.stack(losses).sum() * len(self.words)

    def contrastive_loss(self, images: Tensor, rows: Tensor, *, frozen_image: bool) -> Tensor:
        """`contrastive_loss` of both towers, or of the text tower alone."""
        with torch.set_grad_enabled(not frozen_image):
            pooled, regions = self._encode_images(images)
        return contrastive_loss(self.clip, pooled, regions, rows)

    def _encode_images(self, images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return miniature.encode_image(self.clip, images)


def contrastive_loss(clip: CLIP, pooled: Tensor, regions: Tensor, rows: Tensor) -> Tensor:
    """CLIP's loss, twice: with the pooled image, and with the regions weighted as recognition weights them.

    Args:
        clip: whose text tower reads the captions.
        pooled: (B, D) image features.
        regions: (B, R, D) of the same images.
        rows: (B, L) their captions, as rows of the token table.
    """
    with torch.autocast("cpu", torch.bfloat16):
        texts = miniature.encode_text(clip, rows)
    scale, pairs = clip.logit_scale.exp().clamp(max=100), torch.arange(len(rows))
    logits = [scale * score for score in _similarities(pooled, regions, texts)]
    losses = [(cross_entropy(x, pairs) + cross_entropy(x.T, pairs)) / 2 for x in logits]
    return torch.stack(losses).mean()


def _similarities(pooled: Tensor, regions: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C) cosines of C vectors with B images: pooled by attention, and by the weights of recognition."""
    return normalize(pooled, dim=-1) @ normalize(vectors, dim=-1).T, miniature.local_similarity(regions, vectors)


@dataclass(frozen=True)
class Stage:
    """Steps with one loss and one schedule."""

    steps: int
    peak_rate: float
    loss: Callable[[Tensor, Tensor], Tensor]

    def rate(self, step: int) -> float:
        """Learning rate: a linear warm-up, then half a cosine down to zero."""
        progress = step / self.steps
        return self.peak_rate * min(1.0, (step + 1) / _WARM_UP) * (1 + math.cos(math.pi * progress)) / 2


def _stages(student: _Student, config: PretrainingConfig) -> tuple[Stage, ...]:
    return (
        Stage(config.word_steps, 3e-3, student.word_loss),
        Stage(config.text_steps, 2e-3, functools.partial(student.contrastive_loss, frozen_image=True)),
        Stage(config.joint_steps, 1e-3, functools.partial(student.contrastive_loss, frozen_image=False)),
    )


def pretrain(
    config: PretrainingConfig, progress: Progress | None = None, partial: Path | None = None
) -> dict[str, Tensor]:
    """Pretrain a miniature CLIP.

    Args:
        config: what makes the pretraining.
        progress: called after each step.
        partial: where unfinished work is kept; if it is there, the run goes on from it.

    Returns:
        A state dict in OpenAI's layout, float32, with the full token table (`promptmlr.backbone.packing`).

    Raises:
        UserError: `partial` holds the unfinished work of another configuration.
        EnvironmentFault: `partial` cannot be written.
    """
    ids = miniature.vocabulary_ids(config.world().frequencies)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        student = _Student(len(ids)).to(memory_format=torch.channels_last)
    _train(student, _SceneBatches(config, ids), config, progress, partial)
    rows = {key: value.detach() for key, value in student.clip.state_dict().items()}
    return unpack(rows | {"token_embedding.ids": ids})


def pretrain_to_file(out: Path, config: PretrainingConfig, progress: Progress | None = None) -> None:
    """Pretrain and write the packed weights to `out`; unfinished work is kept beside it in `OUT.partial`.

    Raises:
        UserError: the unfinished work of another configuration lies beside `out`.
        EnvironmentFault: `out` cannot be written.
    """
    partial = out.with_name(out.name + ".partial")
    world = config.world()
    ids = miniature.vocabulary_ids(world.frequencies)
    packed = pack(pretrain(config, progress, partial), ids)
    packed = pack(add_gap(unpack(packed), config.seed, world), ids)
    files.write_bytes(out, save({key: value.contiguous() for key, value in packed.items()}))
    partial.unlink(missing_ok=True)


def _train(
    student: _Student,
    batches: _SceneBatches,
    config: PretrainingConfig,
    progress: Progress | None,
    partial: Path | None,
) -> None:
    """All steps of all stages, from the checkpoint if there is one; each stage has an optimizer of its own."""
    schedule = [(stage, step) for stage in _stages(student, config) for step in range(stage.steps)]
    optimizer = torch.optim.AdamW(student.parameters(), weight_decay=WEIGHT_DECAY, fused=True)
    done = load_unfinished(partial, student, [optimizer], config)
    for number, (stage, step) in enumerate(schedule[done:], start=done):
        if step == 0:
            optimizer = torch.optim.AdamW(student.parameters(), weight_decay=WEIGHT_DECAY, fused=True)
        for group in optimizer.param_groups:
            group["lr"] = stage.rate(step)
        loss = stage.loss(*batches.batch(number))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if partial is not None and (number + 1) % _CHECKPOINT_EVERY == 0:
            save_unfinished(partial, student, [optimizer], config, number + 1)
        if progress is not None:
            progress(number + 1, config.steps)
