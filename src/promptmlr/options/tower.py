"""Which CLIP is used, and on what."""

from dataclasses import dataclass, field
from typing import Literal

from promptmlr.options.base import FROM_ZERO, Options

__all__ = ["BackboneOptions", "NewTowerOptions", "TowerOptions"]


@dataclass(frozen=True)
class BackboneOptions(Options):
    """Where the weights of the frozen CLIP come from.

    Attributes:
        backbone: A name of `promptmlr backbones`, 'scenes', or a checkpoint file in OpenAI's layout. (default: that of
            the run; RN101 where there is none)
        pretrained: open_clip's tag of the weights, or a file. (default: that of the run, or openai)
    """

    backbone: str | None = None
    pretrained: str | None = None


@dataclass(frozen=True)
class TowerOptions(BackboneOptions):
    """The frozen CLIP, and what it runs on.

    Attributes:
        device: cpu, cuda, cuda:1 … A GPU is used when it is named.
        workers: Threads that decode images.
    """

    device: str = "cpu"
    workers: int = field(default=2, metadata=FROM_ZERO)


@dataclass(frozen=True)
class NewTowerOptions(TowerOptions):
    """The same where no run says how the tower sees images.

    Attributes:
        image_size: Side of the square that images are resized to, in pixels. (default: 448 for open_clip's models, else
            the backbone's own)
        dtype: Number type of the frozen towers. auto: the image tower in float32, the text tower in bfloat16 where
            that is fast; bfloat16 for both is several times faster where regions are not stored. (default: auto;
            float32 where maps or sentences are measured)
    """

    image_size: int | None = None
    dtype: Literal["auto", "float32", "bfloat16"] | None = None
