"""Pretraining of an image tower alone: a vision transformer, beside the frozen text tower of the miniature CLIP.

Two losses on drawn scenes. The feature of the class token is to say which classes are present, by its cosines with
their texts. The patches before the last block are to say what lies at their place, through a linear layer that is
dropped at the end. So of the last block's output only the class token was trained, and whatever is made of its patches
was trained for that as little as in a CLIP of web images.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.transformer import VisionTransformer
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from promptmlr import files
from promptmlr.backbone.checkpoint import own_state_dict
from promptmlr.backbone.packing import pack, unpack
from promptmlr.errors import UserError
from promptmlr.scenes import Scene, miniature
from promptmlr.scenes.captions import PRESENCE_TEMPLATE
from promptmlr.scenes.drawing import draw_scene
from promptmlr.scenes.modality_gap import add_gap_to_transformer
from promptmlr.scenes.pretraining import FIRST_SCENE, WEIGHT_DECAY, Progress
from promptmlr.scenes.unfinished import load_unfinished, save_unfinished
from promptmlr.scenes.world import CLASS_NAMES, IMAGE_SIZE

__all__ = ["ImageSideConfig", "pretrain_image_side", "pretrain_image_side_to_file"]

_CHECKPOINT_EVERY = 250  # steps
_WARM_UP = 100  # steps
_PEAK_RATE = 1e-3
_MATRIX_RATE = 0.02  # of Muon, for the matrices of the blocks
_PLACES = 3.0  # weight of the second loss
_SIDE, _PATCH = int(miniature.TRANSFORMER.image_size), miniature.TRANSFORMER.patch_size
_GRID = _SIDE // _PATCH


@dataclass(frozen=True)
class ImageSideConfig:
    """The settings of an image side's pretraining.

    Attributes:
        seed: of the scenes, the initial weights and the batches.
        scenes: how many scenes are drawn beforehand; they are mirrored at random in every batch.
        batch_size: scenes per step.
        steps: of training.
    """

    seed: int = 0
    scenes: int = 30_000
    batch_size: int = 48
    steps: int = 9_000

    def __post_init__(self) -> None:
        if min(self.scenes, self.batch_size) < 1:
            raise UserError(f"{self.scenes} scenes in batches of {self.batch_size}: give at least 1 of each")


class _Batches:
    """The scenes of a pretraining at the tower's size, and the batches drawn from them."""

    def __init__(self, config: ImageSideConfig) -> None:
        self._config = config
        self.images = np.empty((config.scenes, _SIDE, _SIDE, 3), np.uint8)
        self.labels = np.empty((config.scenes, len(CLASS_NAMES)), np.float32)
        self.places = np.empty((config.scenes, _GRID, _GRID), np.int64)
        for index in range(config.scenes):
            scene = draw_scene(config.seed, FIRST_SCENE + index)
            small = Image.fromarray(scene.image).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
            self.images[index] = np.asarray(small)
            self.labels[index], self.places[index] = scene.labels, _places(scene)

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 3, S, S), CLIP-normalised, half of them mirrored; labels (B, C); what lies at patches (B, R)."""
        rng = np.random.default_rng([self._config.seed, self._config.scenes, step])
        chosen = rng.integers(self._config.scenes, size=self._config.batch_size)
        mirrored = (rng.random(len(chosen)) < 0.5)[:, None, None]
        images, places = self.images[chosen], self.places[chosen]
        images = np.where(mirrored[..., None], images[:, :, ::-1], images)
        places = np.where(mirrored, places[:, :, ::-1], places)
        pixels = miniature.normalise(torch.from_numpy(images))
        return pixels, torch.from_numpy(self.labels[chosen]), torch.from_numpy(places).flatten(1)


def _places(scene: Scene) -> NDArray[np.int64]:
    """(g, g) the class of the front object over each patch's centre; C where there is none."""
    found = np.full((_GRID, _GRID), len(CLASS_NAMES))
    centres = (np.arange(_GRID) + 0.5) * (IMAGE_SIZE / _GRID)
    for thing in scene.objects:
        left, top, right, bottom = thing.box
        rows, columns = (centres >= top) & (centres < bottom), (centres >= left) & (centres < right)
        found[np.ix_(rows, columns)] = thing.class_index
    return found


class _Student(nn.Module):
    """The tower in training, with what only the losses use.

    Args:
        visual: the tower.
        texts: (C, D) unit directions of the classes.
    """

    texts: Tensor

    def __init__(self, visual: VisionTransformer, texts: Tensor) -> None:
        super().__init__()
        self.visual = visual
        self.what = nn.Sequential(nn.LayerNorm(miniature.TRANSFORMER.width), nn.LazyLinear(len(texts) + 1))
        self.what(torch.zeros(1, miniature.TRANSFORMER.width))  # gives the lazy layer its weights
        self.log_scale = nn.Parameter(torch.tensor(math.log(15.0)))
        self.bias = nn.Parameter(torch.tensor(-3.0))
        self.register_buffer("texts", texts)

    def loss(self, images: Tensor, labels: Tensor, places: Tensor) -> Tensor:
        """Both losses, the first summed over classes."""
        with torch.autocast("cpu", torch.bfloat16):
            *blocks, last = self.visual.transformer.resblocks
            tokens = self.visual._embeds(images)
            for block in blocks:
                tokens = block(tokens)
            pooled = self.visual.ln_post(last(tokens)[:, 0]) @ self.visual.proj
            what = self.what(tokens[:, 1:])
        present = self.log_scale.exp() * (normalize(pooled.float(), dim=-1) @ self.texts.T) + self.bias
        recognition = binary_cross_entropy_with_logits(present, labels) * len(self.texts)
        return recognition + _PLACES * cross_entropy(what.float().flatten(0, 1), places.flatten())


def pretrain_image_side(
    tower: dict[str, Tensor], config: ImageSideConfig, progress: Progress | None = None, partial: Path | None = None
) -> dict[str, Tensor]:
    """Train an image side from random weights.

    Args:
        tower: a miniature CLIP, packed; its image side is replaced, its text side stays bit for bit.
        config: the settings.
        progress: called after each step.
        partial: where unfinished work is kept; if it is there, the run goes on from it.

    Returns:
        The miniature with the new image side, packed.

    Raises:
        UserError: `partial` holds the unfinished work of other settings.
        EnvironmentFault: `partial` cannot be written.
    """
    batches = _Batches(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        visual = miniature.build(len(tower["token_embedding.ids"]), miniature.TRANSFORMER).visual
        student = _Student(visual, _directions(tower))
    optimizers = _optimizers(student)
    done = load_unfinished(partial, student, optimizers, config)
    for step in range(done, config.steps):
        progressed = min(1.0, (step + 1) / _WARM_UP) * (1 + math.cos(math.pi * step / config.steps)) / 2
        for optimizer, peak in zip(optimizers, (_PEAK_RATE, _MATRIX_RATE), strict=True):
            optimizer.param_groups[0]["lr"] = peak * progressed
        student.zero_grad()
        student.loss(*batches.batch(step)).backward()
        for optimizer in optimizers:
            optimizer.step()
        if partial is not None and (step + 1) % _CHECKPOINT_EVERY == 0:
            save_unfinished(partial, student, optimizers, config, step + 1)
        if progress is not None:
            progress(step + 1, config.steps)
    return _with_gap(tower, visual.eval(), batches.images[:200])


def pretrain_image_side_to_file(out: Path, config: ImageSideConfig, progress: Progress | None = None) -> None:
    """Pretrain beside the text side of the shipped miniature and write the packed weights to `out`.

    Unfinished work is kept beside it in `OUT.partial`.

    Raises:
        UserError: the unfinished work of other settings lies beside `out`.
        EnvironmentFault: `out` cannot be written.
    """
    partial = out.with_name(out.name + ".partial")
    shipped = own_state_dict("scenes")
    assert shipped is not None
    packed = pretrain_image_side(shipped[1], config, progress, partial)
    files.write_bytes(out, save({key: value.contiguous() for key, value in packed.items()}))
    partial.unlink(missing_ok=True)


@torch.no_grad()
def _directions(tower: dict[str, Tensor]) -> Tensor:
    """(C, D) where the classes' texts differ from their mean, of length 1."""
    model = miniature.load(unpack(tower))
    rows = miniature.Tokenizer(torch.arange(len(model.token_embedding.weight)))
    texts = miniature.encode_text(model, rows([PRESENCE_TEMPLATE.format(name) for name in CLASS_NAMES]))
    return normalize(texts - texts.mean(dim=0), dim=-1)


def _optimizers(student: _Student) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """AdamW, and Muon for the matrices of the blocks."""
    matrices = [tensor for tensor in student.visual.transformer.parameters() if tensor.dim() == 2]
    chosen = {id(tensor) for tensor in matrices}
    others = [tensor for tensor in student.parameters() if id(tensor) not in chosen]
    return (
        torch.optim.AdamW(others, weight_decay=WEIGHT_DECAY, fused=True),
        torch.optim.Muon(matrices, weight_decay=WEIGHT_DECAY),
    )


@torch.no_grad()
def _with_gap(tower: dict[str, Tensor], visual: VisionTransformer, images: NDArray[np.uint8]) -> dict[str, Tensor]:
    """The tower with this image side, and the gap between its modalities."""
    pooled = visual(miniature.normalise(torch.from_numpy(images)))
    state = {f"visual.{key}": value.detach() for key, value in visual.state_dict().items()}
    state = add_gap_to_transformer(state, pooled)
    texts = {key: value for key, value in tower.items() if not key.startswith("visual.")}
    return pack(state | {"token_embedding.weight": torch.zeros(1, 1)}, torch.zeros(0, dtype=torch.int64)) | texts
