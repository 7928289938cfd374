"""An image tower as one module of ordinary layers: what an export traces."""

import copy

import torch
from torch import Tensor, nn

from promptmlr.backbone.image import tower_kind

__all__ = ["ImageTower"]


class ImageTower(nn.Module):
    """A float32 copy of an image tower on the CPU, without the layouts and fused operators that make it fast there.

    Its positions are those of the grid, resized once: nothing of the graph depends on anything but the images.

    Args:
        visual: as a `Backbone` keeps it, batch norms folded.
        grid: regions along one side.
    """

    def __init__(self, visual: nn.Module, grid: int) -> None:
        super().__init__()
        own = copy.deepcopy(visual).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)
        tower_kind(own).fix_grid(own, grid)
        self.visual = own.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) float32, normalised → (B, R, D), not normalised; region 0 is global."""
        return tower_kind(self.visual).regions(self.visual, images)
