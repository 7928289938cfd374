"""A CLIP ResNet's convolutions on a CPU, each fused with its activation and residual into one oneDNN primitive.

Weights are packed once instead of at every call. The operators are those that torch.compile emits for CPUs; if they are
missing, the modules' own forward computes the same.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from open_clip.modified_resnet import Bottleneck, ModifiedResNet
from torch import Tensor, nn

__all__ = ["plain_trunk", "resnet_trunk"]

Trunk = Callable[[Tensor], Tensor]


def resnet_trunk(visual: ModifiedResNet) -> Trunk:
    """The fastest function on this device from (B, 3, S, S) images to (B, 32·width, S/32, S/32) features.

    Args:
        visual: in evaluation mode, on its final device, with folded batch norms (`image.fold_batch_norms`).
    """
    weight = visual.conv1.weight
    takes = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.bfloat16)
    if takes and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return _FusedTrunk(visual)

    return partial(plain_trunk, visual)


def plain_trunk(visual: ModifiedResNet, images: Tensor) -> Tensor:
    """The same features by the modules' own forward."""
    features: Tensor = visual.stem(images)
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        features = layer(features)
    return features


class _FusedTrunk:
    def __init__(self, visual: ModifiedResNet) -> None:
        self.stem = [_Convolution(visual.conv1), _Convolution(visual.conv2), _Convolution(visual.conv3)]
        self.pool = visual.avgpool
        self.blocks = [
            _Block(block) for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4) for block in layer
        ]

    def __call__(self, images: Tensor) -> Tensor:
        x = images
        for convolution in self.stem:
            x = convolution(x, "relu")
        x = self.pool(x)
        for block in self.blocks:
            x = block(x)
        return x


class _Block:
    """A bottleneck; overwrites its input if that is the residual."""

    def __init__(self, block: Bottleneck) -> None:
        self.first, self.second, self.third = map(_Convolution, (block.conv1, block.conv2, block.conv3))
        self.pool = block.avgpool
        self.downsample: tuple[nn.Module, _Convolution] | None = None
        if block.downsample is not None:
            pool, convolution, _ = block.downsample
            self.downsample = pool, _Convolution(convolution)

    def __call__(self, x: Tensor) -> Tensor:
        out = self.pool(self.second(self.first(x, "relu"), "relu"))
        residual = x
        if self.downsample is not None:
            pool, convolution = self.downsample
            residual = convolution(pool(x), "none")
        return self.third.added_to(residual, out)


class _Convolution:
    def __init__(self, convolution: nn.Conv2d) -> None:
        self.convolution = convolution
        self.packed: Tensor | None = None

    def __call__(self, x: Tensor, activation: str) -> Tensor:
        weight = self._packed(x)
        bias, shape = self.convolution.bias, self._shape()
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *shape, 1, activation, [], "")
        return result

    def added_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """The rectified sum of residual and convolution; overwrites the residual."""
        weight = self._packed(x)
        result: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            residual, x, weight, self.convolution.bias, *self._shape(), 1, "add", 1.0, "relu", [], ""
        )
        return result

    def __getstate__(self) -> dict[str, Any]:
        """State for copies, without the packed weight, which cannot be copied."""
        return self.__dict__ | {"packed": None}

    def _packed(self, x: Tensor) -> Tensor:
        """The weight packed for inputs of the first one's shape; it works for other shapes too."""
        if self.packed is None:
            weight = self.convolution.weight.detach()
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *self._shape(), 1, list(x.shape))
        return self.packed

    def _shape(self) -> list[list[int]]:
        convolution = self.convolution
        return [list(map(int, part)) for part in (convolution.padding, convolution.stride, convolution.dilation)]
