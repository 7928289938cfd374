"""Towers in bfloat16: who is cast, what it is called, and that it is the same CLIP."""

import pytest
import torch

from promptmlr.backbone import load_backbone, tower_dtypes
from promptmlr.backbone.image import fold_batch_norms
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


def test_folded_batch_norms_change_nothing_but_rounding(tiny_checkpoint, tiny_backbone) -> None:
    folded = load_backbone(tiny_checkpoint)
    fold_batch_norms(folded._model.visual)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded._model.modules())
    images = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
    torch.testing.assert_close(
        folded.encode_image(images), tiny_backbone.encode_image(images.contiguous()), rtol=1e-4, atol=1e-4
    )


def test_a_16_bit_resnet_has_no_batch_norms_left_and_runs_channels_last(tiny_checkpoint, tiny_backbone) -> None:
    fast = load_backbone(tiny_checkpoint, dtype=torch.bfloat16)
    visual = fast._model.visual
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in visual.modules())
    assert visual.layer1[0].conv2.weight.is_contiguous(memory_format=torch.channels_last)
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    exact = tiny_backbone.encode_image(tiny_backbone.preprocessing.normalise(pixels))
    images = fast.preprocessing.normalise(pixels, fast.dtype)
    assert images.dtype == torch.bfloat16
    for memory_format in (torch.contiguous_format, torch.channels_last):
        regions = fast.encode_image(images.to(memory_format=memory_format))
        assert torch.nn.functional.cosine_similarity(regions.float(), exact, dim=-1).min() > 0.98


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
