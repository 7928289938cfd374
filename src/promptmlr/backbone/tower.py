"""An image tower as one module of ordinary layers, for export."""

import copy

import torch
from torch import Tensor, nn

from promptmlr.backbone.image import Way, tower_kind
from promptmlr.backbone.image.ways import VALUE

__all__ = ["ImageTower"]


class ImageTower(nn.Module):
    """A float32 copy of an image tower on the CPU, without fused operators and packed weights.

    Its positional embedding is resized to the grid once, so that the graph depends on the images only.

    Args:
        visual: a `Backbone`'s image tower with folded batch norms.
        grid: regions along one side.
        way: how regions are made.
    """

    def __init__(self, visual: nn.Module, grid: int, way: Way = VALUE) -> None:
        super().__init__()
        own = copy.deepcopy(visual).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)
        tower_kind(own).fix_grid(own, grid)
        self.visual = own.eval().requires_grad_(False)
        self.way = way

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) float32, normalised → (B, R, D), not normalised; region 0 is global."""
        return tower_kind(self.visual).regions(self.visual, images, self.way)
