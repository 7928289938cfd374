"""An image tower as one module of ordinary layers: what an export traces."""

import copy

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from promptmlr.backbone.fused import plain_trunk
from promptmlr.backbone.image import resized_positions, resnet_regions, vit_regions

__all__ = ["ImageTower"]


class ImageTower(nn.Module):
    """A float32 copy of an image tower on the CPU, without the layouts and fused operators that make it fast there.

    Its positions are those of the grid, resized once: nothing of the graph depends on anything but the images.

    Args:
        visual: as a `Backbone` keeps it, batch norms folded.
        grid: regions along one side.
    """

    def __init__(self, visual: VisionTransformer | ModifiedResNet, grid: int) -> None:
        super().__init__()
        own = copy.deepcopy(visual).to("cpu", torch.float32, memory_format=torch.contiguous_format)
        holder = own.attnpool if isinstance(own, ModifiedResNet) else own
        holder.positional_embedding = nn.Parameter(resized_positions(holder.positional_embedding, (grid, grid)))
        self.visual = own.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) float32, normalised → (B, R, D), not normalised; region 0 is global."""
        if isinstance(self.visual, ModifiedResNet):
            visual = self.visual
            return resnet_regions(visual, lambda x: plain_trunk(visual, x), images)
        return vit_regions(self.visual, images)
