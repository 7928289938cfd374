"""The image tower as one module of ordinary layers: the same regions, the backbone untouched."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from promptmlr.backbone import Backbone, load_backbone


@pytest.fixture(params=["resnet", "resnet, resized", "vit", "vit, resized"])
def backbone(request, tiny_resnet, tiny_vit, tmp_path: Path) -> Backbone:
    kind, *resized = request.param.split(", ")
    save_file({"resnet": tiny_resnet, "vit": tiny_vit}[kind], tmp_path / "clip.safetensors")
    return load_backbone(tmp_path / "clip.safetensors", image_size=96 if resized else None)


def test_regions_are_those_of_the_backbone(backbone: Backbone) -> None:
    images = torch.randn(3, 3, backbone.image_size, backbone.image_size)
    wanted = backbone.encode_image(images)
    tower = backbone.image_tower()
    torch.testing.assert_close(tower(images), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
    with torch.no_grad():
        for tensor in tower.parameters():
            tensor.zero_()
    assert torch.equal(backbone.encode_image(images), wanted)


def test_a_tower_in_bfloat16_becomes_float32(tiny_checkpoint: Path) -> None:
    tower = load_backbone(tiny_checkpoint, dtype=torch.bfloat16).image_tower()
    assert {tensor.dtype for tensor in (*tower.parameters(), *tower.buffers())} == {torch.float32}
