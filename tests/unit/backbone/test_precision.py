"""Towers in bfloat16: who is cast, what it is called, and that it is the same CLIP."""

import copy

import pytest
import torch

from promptmlr.backbone import load_backbone, tower_dtypes
from promptmlr.backbone.checkpoint import build_openai_model
from promptmlr.backbone.image.fused import resnet_trunk
from promptmlr.backbone.image.resnet import resnet_regions
from promptmlr.sides import PromptSide

NAMES = ["dog", "traffic light", "umbrella"]


@pytest.mark.parametrize(("fast", "text"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_casts_the_text_tower_alone_where_that_is_fast(monkeypatch, fast: bool, text: torch.dtype) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": fast}, raising=False)
    assert tower_dtypes("auto") == (torch.float32, text)
    assert tower_dtypes("float32") == (torch.float32, torch.float32)
    assert tower_dtypes("bfloat16") == (torch.bfloat16, torch.bfloat16)


def test_without_a_way_to_ask_nothing_is_fast(monkeypatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert tower_dtypes("auto") == (torch.float32, torch.float32)


@pytest.mark.parametrize(
    ("dtype", "text_dtype"),
    [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32), (torch.bfloat16, None)],
)
def test_a_cast_backbone_is_the_same_backbone(tiny_checkpoint, tiny_backbone, dtype, text_dtype) -> None:
    """Each tower has its own dtype; the identity names them, and the weights as they were before."""
    cast = load_backbone(tiny_checkpoint, dtype=dtype, text_dtype=text_dtype)
    text_dtype = text_dtype or dtype
    assert cast.encode_image(torch.randn(2, 3, 64, 64)).dtype == cast.dtype == dtype
    assert cast.encode_text(["a dog."]).dtype == cast.text.dtype == text_dtype
    differs = {"dtype": str(dtype)[6:], "text_dtype": str(text_dtype)[6:]}
    assert cast.identity() == tiny_backbone.identity() | differs
    if text_dtype == torch.float32:
        assert torch.equal(cast.encode_text(["a dog."]), tiny_backbone.encode_text(["a dog."]))


@pytest.mark.parametrize("fused", [True, False])
def test_a_resnet_runs_channels_last_without_batch_norms(tiny_checkpoint, tiny_resnet, monkeypatch, fused) -> None:
    """And nothing but rounding tells; fused where the processor's library is there."""
    if not fused:
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    folded = load_backbone(tiny_checkpoint)
    visual = folded._model.visual
    assert (type(resnet_trunk(visual)).__name__ == "_FusedTrunk") == fused
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in visual.modules())
    assert visual.layer1[0].conv2.weight.is_contiguous(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        plain = build_openai_model(dict(tiny_resnet), "tiny", True).eval().visual
        layers = torch.nn.Sequential(plain.layer1, plain.layer2, plain.layer3, plain.layer4)
        expected = resnet_regions(plain, lambda x: layers(plain.stem(x)), images)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        given = images.to(memory_format=memory_format)
        regions = folded.encode_image(given)
        assert torch.equal(given, images)  # what it overwrites is its own
        assert torch.equal(copy.deepcopy(folded).encode_image(given), regions)
        torch.testing.assert_close(regions, expected, rtol=1e-5, atol=1e-5)


def test_a_bfloat16_resnet_is_the_same_tower(tiny_checkpoint, tiny_backbone) -> None:
    fast = load_backbone(tiny_checkpoint, dtype=torch.bfloat16)
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    exact = tiny_backbone.encode_image(tiny_backbone.preprocessing.normalise(pixels))
    images = fast.preprocessing.normalise(pixels, fast.dtype)
    assert images.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(fast.encode_image(images).float(), exact, dim=-1).min() > 0.98


def test_a_batch_through_the_tower_in_chunks_is_the_same_batch(tiny_backbone, monkeypatch) -> None:
    images = torch.randn(7, 3, 64, 64)
    whole = tiny_backbone.encode_image(images)
    monkeypatch.setattr("promptmlr.backbone.clip.CHUNK_PIXELS", 3 * 64**2)
    torch.testing.assert_close(tiny_backbone.encode_image(images), whole, rtol=1e-5, atol=1e-5)


def test_what_is_learned_stays_in_float32_over_a_bfloat16_text_tower(tiny_checkpoint, tiny_backbone) -> None:
    cast = load_backbone(tiny_checkpoint, text_dtype=torch.bfloat16)
    gradients = []
    for backbone in (cast, tiny_backbone):
        side = PromptSide.create(backbone.text, NAMES, context_length=4)
        vectors = side.class_vectors()
        vectors.sum().backward()
        assert vectors.dtype == side.context.dtype == side.context.grad.dtype == side.fold().embedding.dtype
        assert vectors.dtype == torch.float32
        gradients.append(side.context.grad.flatten(1))
    assert torch.nn.functional.cosine_similarity(*gradients).min() > 0.98
