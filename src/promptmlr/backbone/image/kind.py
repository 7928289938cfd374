"""What a kind of image tower says of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from promptmlr.backbone.image.ways import Way

__all__ = ["TowerKind", "each_alone", "resized_positions"]


def _unchanged(visual: Any, *_: Any) -> None:
    pass


@dataclass(frozen=True)
class TowerKind:
    """How a kind of image tower gives regions.

    Attributes:
        name: what people call it.
        fits: whether a module is one, by what it is made of and never by its name.
        patch_side: tower → pixels per region along one side.
        regions: tower, (B, 3, H, W) images, way (`value` if it is left out) → (B, R, D), in ordinary layers, which an
            export can trace.
        default_way: a name of `ways.WAYS`, for towers that others are known of: see docs/towers.md.
        why_value_alone: tower → why no other way than `value` is known of it; None where all are.
        prepare: changes a tower once, in place, before it is cast; it is in float32 and evaluation mode.
        fix_grid: tower, side of the grid: resizes its positions once and for all.
        fast: tower → what gives its regions fastest where it is; None is `regions`.
    """

    name: str
    fits: Callable[[nn.Module], bool]
    patch_side: Callable[[Any], int]
    regions: "Callable[..., Tensor]"
    default_way: str = "value"
    why_value_alone: Callable[[Any], str | None] = lambda _visual: "it has no block of attention that mixes patches"
    prepare: Callable[[Any], None] = _unchanged
    fix_grid: Callable[[Any, int], None] = _unchanged
    fast: Callable[[Any], Callable[[Tensor], Tensor]] | None = None

    def encoder(self, visual: nn.Module, way: "Way") -> Callable[[Tensor], Tensor]:
        """(B, 3, H, W) images → (B, R, D) regions of a tower, as fast as it can."""
        if self.fast is not None:
            return self.fast(visual)
        return lambda images: self.regions(visual, images, way)


def each_alone(module: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
    """What a module that mixes tokens makes of each of them where it sees no other: attention is then its value.

    Args:
        module: (N, L, W) → (N, L, W) or (N, D).
        tokens: (B, L, W).

    Returns:
        (B, L, W) or (B, L, D).
    """
    batch, length = tokens.shape[:2]
    alone: Tensor = module(tokens.flatten(0, 1)[:, None])
    return alone.reshape(batch, length, alone.shape[-1])


def resized_positions(positions: Tensor, size: tuple[int, ...], first: int = 1) -> Tensor:
    """Positional embedding for a grid of another size: bicubic, no antialias.

    Args:
        positions: (first + g·g, width), the grid in rows from the top.
        size: height and width of the other grid.
        first: leading positions of tokens that are on no grid; they stay as they are.

    Returns:
        (first + h·w, width).
    """
    side = round((len(positions) - first) ** 0.5)
    if tuple(size) == (side, side):
        return positions
    grid = positions[first:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    grid = nn.functional.interpolate(grid, size=tuple(size), mode="bicubic", align_corners=False)
    return torch.cat([positions[:first], grid.flatten(2)[0].T])
