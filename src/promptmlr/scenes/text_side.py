"""Pretraining of the miniature CLIP's text tower alone, with a frozen image tower.

The text towers differ only in their captions: scenes, image features, and for one seed initial weights and batches are
the same, and a given share of captions states an absence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from promptmlr.backbone.packing import pack, unpack
from promptmlr.errors import UserError
from promptmlr.scenes import Scene, miniature
from promptmlr.scenes.captions import ABSENCE_RATE, caption
from promptmlr.scenes.drawing import draw_scene
from promptmlr.scenes.modality_gap import add_gap_to_texts, common_image_part
from promptmlr.scenes.pretraining import FIRST_SCENE, WEIGHT_DECAY, Stage, contrastive_loss

__all__ = ["EncodedScenes", "TextSideConfig", "encode_scenes", "pretrain_text_side"]

_AT_ONCE = 100  # scenes through the image tower
_PEAK_RATE = 2e-3  # as the second stage of `pretraining`


@dataclass(frozen=True)
class TextSideConfig:
    """The settings of a text side's pretraining.

    Attributes:
        absence_rate: share of captions with a statement of absence, in [0, 1].
        seed: of the initial weights, the batches and the captions.
        steps: of training.
        batch_size: scenes per step.
    """

    absence_rate: float = ABSENCE_RATE
    seed: int = 0
    steps: int = 1_500
    batch_size: int = 128

    def __post_init__(self) -> None:
        if not 0 <= self.absence_rate <= 1:
            raise UserError(f"absence rate {self.absence_rate} is not a share: give a number from 0 to 1")


@dataclass(frozen=True, eq=False)
class EncodedScenes:
    """Scenes encoded by a frozen image tower, without their pixels.

    Attributes:
        tower: the whole CLIP, packed (`promptmlr.backbone.packing`); its text side is replaced.
        scenes: N scenes, for which captions are drawn.
        pooled: (N, D) image features, without the common part of all images.
        regions: (N, R, D) of them, without it too.
    """

    tower: dict[str, Tensor]
    scenes: Sequence[Scene]
    pooled: Tensor
    regions: Tensor


@torch.no_grad()
def encode_scenes(
    tower: dict[str, Tensor], count: int, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> EncodedScenes:
    """Draw and encode scenes that no training or test set of the same seed contains.

    Args:
        tower: a miniature CLIP, packed.
        count: N.
        seed: of the scenes.
        progress: called with scenes done and N.
    """
    model = miniature.load(unpack(tower))
    scenes: list[Scene] = []
    found: list[tuple[Tensor, Tensor]] = []
    for begin in range(0, count, _AT_ONCE):
        drawn = [draw_scene(seed, FIRST_SCENE + index) for index in range(begin, min(begin + _AT_ONCE, count))]
        pixels = torch.stack([torch.from_numpy(scene.image) for scene in drawn])
        found.append(miniature.encode_image(model, miniature.normalise(pixels)))
        scenes += [replace(scene, image=np.zeros((0, 0, 3), np.uint8)) for scene in drawn]
        if progress is not None:
            progress(len(scenes), count)
    pooled, regions = (torch.cat(parts) for parts in zip(*found, strict=True))
    common = common_image_part(regions)
    return EncodedScenes(tower, scenes, pooled - common, regions - common)


def pretrain_text_side(seen: EncodedScenes, config: TextSideConfig) -> dict[str, Tensor]:
    """Train a text side from random weights.

    Args:
        seen: the encoded scenes.
        config: the settings.

    Returns:
        The tower with this text side, packed: every tensor of the image side is the one that `seen` has.
    """
    ids = miniature.vocabulary_ids()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        clip = miniature.build(len(ids))
    tokenize = miniature.Tokenizer(ids)
    learned = [tensor for name, tensor in clip.named_parameters() if not name.startswith("visual.")]
    optimizer = torch.optim.AdamW(learned, weight_decay=WEIGHT_DECAY, fused=True)

    def loss(chosen: Tensor, rows: Tensor) -> Tensor:
        return contrastive_loss(clip, seen.pooled[chosen], seen.regions[chosen], rows)

    stage = Stage(config.steps, _PEAK_RATE, loss)
    for step in range(config.steps):
        rng = np.random.default_rng([config.seed, len(seen.scenes), step])
        chosen = rng.integers(len(seen.scenes), size=config.batch_size)
        captions = [caption(seen.scenes[index], rng, config.absence_rate) for index in chosen]
        for group in optimizer.param_groups:
            group["lr"] = stage.rate(step)
        optimizer.zero_grad()
        stage.loss(torch.from_numpy(chosen), tokenize(captions)).backward()
        optimizer.step()
    state = {key: value.detach() for key, value in clip.state_dict().items()}
    with_gap = pack(add_gap_to_texts(unpack(state | {"token_embedding.ids": ids})), ids)
    return {key: seen.tower[key] if key.startswith("visual.") else value for key, value in with_gap.items()}
