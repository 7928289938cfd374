"""What a way to make regions is told, and what it says of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["BeforeLast", "Way"]


@dataclass(frozen=True, eq=False)
class BeforeLast:
    """A transformer before its last block.

    Attributes:
        block: the last block.
        tokens: (B, first + h·w, W).
        first: leading tokens that are on no grid: the class token and registers.
        size: h and w of the grid.
        rotary: positions that the block's attention is given, (h·w, ·); None without rotary positions.
    """

    block: Any
    tokens: Tensor
    first: int
    size: tuple[int, int]
    rotary: Tensor | None = None

    @property
    def patches(self) -> Tensor:
        """(B, h·w, W)."""
        return self.tokens[:, self.first :]


@dataclass(frozen=True)
class Way:
    """A way to make regions.

    Attributes:
        name: as people say it to `--regions`.
        patches: what stands for the last block's output at the patches, (B, h·w, W), in ordinary operations, which an
            export can trace.
        opens: whether it needs the attention of the block in parts (`promptmlr.backbone.image.parts`).
    """

    name: str
    patches: Callable[[BeforeLast], Tensor]
    opens: bool = True
