"""Image towers as ONNX: any number of images, one operator set, and regions as PyTorch has them.

CLIP's ResNets and ViTs are in tests/unit/export/test_graph.py, as runs.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from promptmlr.backbone import ClipBackbone, Preprocessing
from promptmlr.backbone.building import build_model
from promptmlr.export import graph
from promptmlr.export.graph import RunGraph

WIDTH = 192
TEXT = {"context_length": 20, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}


def timm(name: str, pool: str, size: int, **options: Any) -> dict[str, Any]:
    return {"timm_model_name": name, "timm_pool": pool, "timm_proj": "linear", "image_size": size, **options}


OWN = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16}
VISION = {
    "averaged": OWN | {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True},
    "CoCa's pool": OWN | {"attentional_pool": True, "attn_pooler_heads": 1},
    "SigLIP's pool": timm("vit_tiny_patch16_224", "map", 64) | {"timm_proj": "none"},
    "rotary": timm("eva02_tiny_patch14_224", "token", 56),
    "a map": timm("convnext_atto", "", 64),
}


class Readout(nn.Module):
    """Stands for a recognizer: regions (N, R, D) → logits (N, 2, C) that depend on each of them."""

    def forward(self, regions: torch.Tensor) -> torch.Tensor:
        ranks = torch.arange(1, regions.shape[1] + 1)[:, None] / regions.shape[1]
        return nn.functional.normalize(regions * ranks, dim=-1).sum(dim=1).unflatten(-1, (2, -1))


@pytest.mark.slow
@pytest.mark.parametrize("kind", VISION)
def test_a_kind_exports_with_any_number_of_images(kind: str, bench_towers, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model: Any = build_model({"embed_dim": WIDTH, "vision_cfg": VISION[kind], "text_cfg": TEXT}, quick_gelu=False)
    with torch.no_grad():
        bench_towers.randomise(model.eval())
    side = VISION[kind]["image_size"]
    backbone = ClipBackbone(model, kind, None, Preprocessing(side, (0.5,) * 3, (0.5,) * 3))
    whole = RunGraph(backbone.image_tower(), Readout()).eval().requires_grad_(False)
    exported = graph.exported(whole, torch.zeros(2, 3, side, side), {0: "N"})
    onnx.checker.check_model(exported, full_check=True)
    assert [(opset.domain, opset.version) for opset in exported.opset_import if not opset.domain] == [("", graph.OPSET)]
    session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        images = torch.randn(count, 3, side, side)
        expected = Readout()(backbone.encode_image(images)).numpy()
        found = session.run(["logits"], {"images": images.numpy()})[0]
        assert found.shape == (count, 2, WIDTH // 2)
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert found.std(axis=0).max() > 1e-2, "it cannot tell images apart"
