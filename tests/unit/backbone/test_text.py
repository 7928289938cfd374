"""The text tower's own walk over its blocks against open_clip's forward, for every kind of tower it may meet."""

import open_clip
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer

from promptmlr.backbone.text import text_tower

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
VISION = {"layers": 1, "width": 64, "image_size": 32, "patch_size": 16}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 3}
TEXTS = ["a photo of a dog.", "!", "a traffic light at night!"]


def model(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    text, build = dict(TEXT), open_clip.model.CLIP
    if kind == "custom":
        build, text = open_clip.model.CustomTextCLIP, text | {"ls_init_value": 0.3, "proj_bias": True}
    built = build(96, vision_cfg=VISION, text_cfg=text, quick_gelu=kind == "quickgelu")
    for name, parameter in built.named_parameters():
        if parameter.dim() == 1 and not name.startswith("visual."):  # norms and biases that do something
            torch.nn.init.normal_(parameter, parameter.mean().item(), 0.2)
        elif "token_embedding" in name or "positional_embedding" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return built.double().eval().requires_grad_(False)


@pytest.fixture(params=["quickgelu", "gelu", "custom"])
def clip(request) -> torch.nn.Module:
    return model(request.param)


def test_sentences_are_those_of_the_tower_itself(clip) -> None:
    tower = text_tower(clip, SimpleTokenizer())
    tokens = open_clip.tokenize(TEXTS)
    assert tokens.shape == (3, 77)
    torch.testing.assert_close(tower.encode_texts(TEXTS), clip.encode_text(tokens), **CLOSE)
    torch.testing.assert_close(tower.encode_texts(TEXTS, batch_size=2), clip.encode_text(tokens), **CLOSE)


@pytest.mark.parametrize("common", [1, 2, 6])
def test_features_and_gradients_of_prompts_behind_a_prefix(clip, common: int) -> None:
    """The same embeddings through open_clip's blocks at all positions, prefix repeated for every prompt."""
    tower = text_tower(clip, SimpleTokenizer())
    text = getattr(clip, "text", clip)
    before = torch.randn(common, 64, dtype=torch.float64, requires_grad=True)
    rows = torch.randn(3, 5, 64, dtype=torch.float64, requires_grad=True)
    ends = torch.tensor([4, 0, 2])

    x = torch.cat([before.expand(3, -1, -1), rows, torch.randn(3, 77 - common - 5, 64)], dim=1)
    x = text.transformer(x + text.positional_embedding, attn_mask=text.attn_mask)
    x = text.ln_final(x)[torch.arange(3), ends + common]
    projection = text.text_projection
    expected = projection(x) if isinstance(projection, torch.nn.Linear) else x @ projection
    weights = torch.randn(3, 96, dtype=torch.float64)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), [before, rows])

    features = tower.encode(rows, ends, tower.prefix(before))
    gradients = torch.autograd.grad((features * weights).sum(), [before, rows])
    torch.testing.assert_close(features, expected, **CLOSE)
    for ours, exact in zip(gradients, expected_gradients, strict=True):
        assert exact.abs().max() > 0.01
        torch.testing.assert_close(ours, exact, **CLOSE)


def test_what_a_backward_pass_keeps_is_about_what_it_says() -> None:
    clip = model("quickgelu").float()
    tower = text_tower(clip, SimpleTokenizer())
    weights = {parameter.data_ptr() for parameter in clip.parameters()}
    kept = {}
    rows = torch.randn(8, 20, 64, requires_grad=True)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    prefix = tower.prefix(tower.embed(tower.start_tokens))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        tower.encode(rows, torch.full((8,), 19), prefix)
    measured = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    assert 0.5 < measured / (8 * tower.activation_bytes(20)) < 1
