"""Which CLIP is used, and on what."""

from dataclasses import dataclass, field
from typing import Literal

from promptmlr.options.base import FROM_ZERO, Options

__all__ = ["BackboneOptions", "NewTowerOptions", "TowerOptions"]


@dataclass(frozen=True)
class BackboneOptions(Options):
    """Where the weights of the frozen CLIP come from.

    Attributes:
        backbone: A name from `promptmlr backbones`, 'scenes', or a checkpoint file. (default: the run's; ViT-B-16
            without a run; RN101 in compare, reproduce, cost and probe-text)
        pretrained: open_clip's tag of the weights, or a file. (default: the run's; datacomp_xl_s13b_b90k without a
            backbone; else openai, or the only one)
    """

    backbone: str | None = None
    pretrained: str | None = None


@dataclass(frozen=True)
class TowerOptions(BackboneOptions):
    """The frozen CLIP, and the device that runs it.

    Attributes:
        device: cpu, cuda, cuda:1 … A GPU is used only if it is named here.
        workers: Threads that decode images.
    """

    device: str = "cpu"
    workers: int = field(default=2, metadata=FROM_ZERO)


@dataclass(frozen=True)
class NewTowerOptions(TowerOptions):
    """The same, for commands without a run that fixes how images are encoded.

    Attributes:
        image_size: Images are resized to a square with sides of this many pixels. (default: the backbone's own size;
            448 for CLIP's ResNets, as in the paper)
        regions: How regions are made in the last block of a vision transformer, see docs/towers.md. (default: what was
            best for its kind)
        crops: Show the tower N × N overlapping tiles of each image as well, for small objects; it then takes 1 + N²
            times as long.
        dtype: Number type of the frozen towers. auto: image tower in float32, text tower in bfloat16 if the
            processor is fast at it. bfloat16: both towers, which is several times faster if regions are not stored.
            (default: auto; float32 in commands that measure maps or sentences)
    """

    image_size: int | None = None
    regions: Literal["value", "qk", "clear", "repair"] | None = None
    crops: int = field(default=0, metadata=FROM_ZERO)
    dtype: Literal["auto", "float32", "bfloat16"] | None = None
