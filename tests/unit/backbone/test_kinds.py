"""Every kind of tower, small and at random weights, against open_clip's forward pass (all names: bench/towers.py)."""

import copy
from typing import Any

import open_clip
import pytest
import torch
from open_clip.coca_model import CoCa
from torch import nn

from promptmlr.backbone import ClipBackbone, Preprocessing
from promptmlr.backbone.building import build_model
from promptmlr.backbone.catalogue import native_size
from promptmlr.backbone.image import tower_kind
from promptmlr.backbone.image.kind import resized_positions
from promptmlr.backbone.image.ways import VALUE
from promptmlr.backbone.text import text_tower
from promptmlr.backbone.text.causal import CausalText
from promptmlr.errors import UserError
from promptmlr.sides.prompt import PromptSide

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
TEXT = {"context_length": 20, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
NATIVE = {"image_size": 48, "layers": 2, "width": 64, "patch_size": 16}
POOLED_BY_MEAN = {"no_ln_pre": True, "pool_type": "avg"}
CAPTIONS = {"context_length": 20, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1, "attn_pooler_heads": 1}


def timm(name: str, **options: Any) -> dict[str, Any]:
    return {"timm_model_name": name, "timm_pool": "", "timm_proj": "linear", **options}


VISION = {
    "class token": NATIVE,
    "class token, qk norm": NATIVE | {"qk_norm": True},
    "mean, CLIPA": NATIVE | POOLED_BY_MEAN | {"final_ln_after_pool": True},
    "mean": NATIVE | POOLED_BY_MEAN,
    "CoCa": NATIVE | {"attentional_pool": True, "attn_pooler_heads": 1, "output_tokens": True},
    "timm, class token": timm("vit_tiny_patch16_224", timm_pool="token", timm_proj=None, image_size=224),
    "timm, mean": timm("vit_tiny_patch16_224", timm_pool="avg", image_size=224),
    "timm, attention (SigLIP)": timm("vit_tiny_patch16_224", timm_pool="map", timm_proj="none", image_size=224),
    "timm, rotary (EVA)": timm("eva02_tiny_patch14_224", timm_pool="token", timm_proj=None, image_size=224),
    "timm, rotary and attention (PE-Core)": timm("vit_pe_core_tiny_patch16_384", timm_pool="map", timm_proj=None),
    "timm, hybrid (ViTamin)": timm("vitamin_small_224", image_size=224),
    "timm, map (ConvNeXt)": timm("convnext_atto", timm_proj="mlp", image_size=96),
    "timm, map (FastViT)": timm("fastvit_t8", timm_pool="avg", timm_proj=None, image_size=96),
}
LINEAR_MEANS = ("mean", "timm, map (FastViT)")  # norm before the mean, or none, and linear behind it


@pytest.fixture(scope="module")
def model_with(bench_towers):
    built = {}

    def made(kind: str) -> Any:
        if kind not in built:
            width = 192 if "SigLIP" in kind else 96  # without a projection, features are as wide as the tower
            config = {"embed_dim": width, "vision_cfg": dict(VISION[kind]), "text_cfg": TEXT, "custom_text": True}
            if kind == "CoCa":
                text = TEXT | {"context_length": 19, "embed_cls": True, "output_tokens": True}
                config |= {"multimodal_cfg": CAPTIONS, "text_cfg": text}
            torch.manual_seed(0)
            built[kind] = build_model(config, quick_gelu=False).eval().requires_grad_(False)
            bench_towers.randomise(built[kind])
        return copy.deepcopy(built[kind])

    return made


def backbone_of(model: Any, size: int | None = None, tokenizer: Any = None) -> ClipBackbone:
    size = native_size(model.visual) if size is None else size
    return ClipBackbone(model, "small", None, Preprocessing(size, (0.5,) * 3, (0.5,) * 3), tokenizer=tokenizer)


def own_feature(model: Any, images: torch.Tensor) -> torch.Tensor:
    return model.encode_image(images, normalize=False)


@pytest.mark.parametrize("kind", VISION)
@torch.no_grad()
def test_region_0_is_open_clips_own(kind: str, model_with) -> None:
    model = model_with(kind)
    images = torch.randn(2, 3, *[native_size(model.visual)] * 2)
    expected = own_feature(model, images)
    backbone = backbone_of(model)
    regions = backbone.encode_image(images)
    assert regions.shape == (2, backbone.regions, backbone.feature_width)
    torch.testing.assert_close(regions[:, 0], expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    assert regions[:, 1:].std(dim=1).mean() > 1e-3 * regions.abs().mean()  # and they differ from place to place
    assert (isinstance(model, CoCa)) == (kind == "CoCa")


@pytest.mark.parametrize("kind", LINEAR_MEANS)
@torch.no_grad()
def test_where_a_mean_is_all_that_mixes_regions_their_mean_is_region_0(kind: str, model_with) -> None:
    backbone = backbone_of(model_with(kind))
    regions = backbone.encode_image(torch.randn(2, 3, *[backbone.image_size] * 2))
    torch.testing.assert_close(regions[:, 1:].mean(dim=1), regions[:, 0], **CLOSE)


def sized(visual: Any, size: tuple[int, int]) -> Any:
    """A copy of a tower whose positions are those of another grid, so that its own forward pass takes such images."""
    visual = copy.deepcopy(visual)
    if not hasattr(visual, "trunk"):
        visual.positional_embedding = nn.Parameter(resized_positions(visual.positional_embedding, size))
    elif getattr(visual.trunk, "pos_embed", None) is not None:
        trunk = visual.trunk
        first = 0 if trunk.no_embed_class else trunk.num_prefix_tokens
        trunk.pos_embed = nn.Parameter(resized_positions(trunk.pos_embed[0], size, first)[None])
        trunk.patch_embed.grid_size = size
    if getattr(getattr(visual, "trunk", None), "rope", None) is not None:
        visual.trunk.rope.update_feat_shape(list(size))
    return visual


@pytest.mark.parametrize("kind", VISION)
@torch.no_grad()
def test_other_sizes_and_grids_that_are_not_square(kind: str, model_with) -> None:
    """Positions are interpolated (test_image.py says how), rotary ones are computed for the grid."""
    model = model_with(kind)
    tower = tower_kind(model.visual)
    tower.prepare(model.visual)
    side = tower.patch_side(model.visual)
    for height, width in ((5, 5), (3, 7)):
        images = torch.randn(1, 3, height * side, width * side)
        regions = tower.regions(model.visual, images, VALUE)
        assert regions.shape[1] == height * width + 1
        own = sized(model.visual, (height, width))(images)
        own = own[0] if isinstance(own, tuple) else own
        torch.testing.assert_close(regions[:, 0], own, rtol=1e-5, atol=1e-5 * float(own.abs().max()))


@pytest.mark.parametrize("kind", VISION)
@torch.no_grad()
def test_the_tower_alone_is_the_same_at_another_size(kind: str, model_with) -> None:
    """What an export takes: positions resized once and for all."""
    model = model_with(kind)
    size = 5 * tower_kind(model.visual).patch_side(model.visual)
    backbone = backbone_of(model, size)
    images = torch.randn(1, 3, size, size)
    wanted = backbone.encode_image(images)
    assert wanted.shape[1] == backbone.regions == 26
    close = {"rtol": 1e-5, "atol": 1e-5 * float(wanted.abs().max())}
    torch.testing.assert_close(backbone.image_tower()(images), wanted, **close)


@torch.no_grad()
def test_regions_of_an_attention_pool_are_its_values(model_with) -> None:
    visual = model_with("timm, attention (SigLIP)").visual
    trunk, images = visual.trunk, torch.randn(1, 3, 224, 224)
    pool, tokens = trunk.attn_pool, trunk.forward_features(images)
    values = pool.proj(pool.kv(tokens)[..., tokens.shape[-1] :])
    expected = trunk.fc_norm(values + pool.mlp(pool.norm(values)))
    torch.testing.assert_close(tower_kind(visual).regions(visual, images)[:, 1:], expected[:, 1:], **CLOSE)


@pytest.mark.parametrize("kind", ["timm, class token", "class token, qk norm"])
@torch.no_grad()
def test_regions_beside_a_class_token_see_themselves_alone_in_the_last_block(kind: str, model_with) -> None:
    visual = model_with(kind).visual
    images, timms = torch.randn(1, 3, *[native_size(visual)] * 2), hasattr(visual, "trunk")
    seen = []
    last = visual.trunk.blocks[-1] if timms else visual.transformer.resblocks[-1]
    handle = last.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    visual(images)
    handle.remove()
    mask = torch.full((seen[0].shape[1],) * 2, -torch.inf).fill_diagonal_(0)
    alone = last(seen[0], attn_mask=mask)[:, 1:]
    expected = (
        visual.head(visual.trunk.head(visual.trunk.norm(alone))) if timms else visual.ln_post(alone) @ visual.proj
    )
    torch.testing.assert_close(tower_kind(visual).regions(visual, images)[:, 1:], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["timm, rotary (EVA)", "timm, map (ConvNeXt)", "timm, attention (SigLIP)"])
def test_towers_cast_to_bfloat16_are_the_same_towers(kind: str, model_with) -> None:
    exact = backbone_of(model_with(kind))
    preprocessing = exact.preprocessing
    fast = ClipBackbone(model_with(kind), "small", None, preprocessing, torch.bfloat16)
    images = torch.randn(1, 3, *[exact.image_size] * 2)
    alike = nn.functional.cosine_similarity(fast.encode_image(images).float(), exact.encode_image(images), dim=-1)
    assert alike.min() > 0.98
    assert fast.encode_text(["a dog"]).dtype == torch.bfloat16


def test_a_size_that_does_not_fit_is_answered_with_those_that_do(model_with) -> None:
    model = model_with("timm, rotary (EVA)")
    with pytest.raises(UserError, match=r"image size 230 does not fit small: .* multiple of 14, such as 224, 238"):
        backbone_of(model, 230)


def test_a_towers_own_size_is_taken_although_its_last_patch_is_cut_off(model_with) -> None:
    model = model_with("timm, class token")
    model.visual.trunk.patch_embed.img_size = (230, 230)
    backbone = backbone_of(model)
    assert backbone.encode_image(torch.randn(1, 3, 230, 230)).shape[1] == backbone.regions == 197


# Text towers.

SIGLIP = {"no_causal_mask": True, "pool_type": "last", "proj_bias": True, "act_kwargs": {"approximate": "tanh"}}
TEXTS = {
    "causal, end token": ({}, None),
    "causal, first end token": ({"pool_type": "eos", "eos_id": 2}, ([0], [2], 1)),
    "seen from both sides (MobileCLIP)": ({"no_causal_mask": True}, None),
    "last position (SigLIP)": (SIGLIP, ([], [1], 1)),
    "last position, stripped end (CLIPA)": ({"no_causal_mask": True, "pool_type": "last"}, ([101], [102], 0, True)),
    "class token (CoCa)": ({"embed_cls": True, "output_tokens": True, "context_length": 19}, None),
}
SENTENCES = ["a photo of a dog.", "two red chairs at night", "a"]


@pytest.fixture(scope="module")
def text_model(bench_towers):
    def made(kind: str) -> tuple[Any, Any]:
        changes, tokenizer = TEXTS[kind]
        text = TEXT | changes
        config = {
            "embed_dim": 96,
            "vision_cfg": NATIVE,
            "text_cfg": text,
            "custom_text": "CoCa" in kind or "SigLIP" in kind,
        }
        if "CoCa" in kind:
            config |= {"multimodal_cfg": CAPTIONS, "vision_cfg": VISION["CoCa"]}
        torch.manual_seed(0)
        model = build_model(config, quick_gelu=False).eval().requires_grad_(False)
        bench_towers.randomise(model)
        for name, parameter in model.named_parameters():
            if "token_embedding" in name or "positional_embedding" in name:
                nn.init.normal_(parameter, std=0.5)
        if tokenizer is None:
            return model, open_clip.SimpleTokenizer(context_length=text["context_length"])
        start, end, pad, *strip = tokenizer
        return model, bench_towers.StandInTokenizer(start, end, pad, text["context_length"], *strip)

    return made


@pytest.mark.parametrize("kind", TEXTS)
def test_sentences_are_those_of_the_tower_itself(kind: str, text_model) -> None:
    model, tokenizer = text_model(kind)
    tower = text_tower(model, tokenizer)
    assert isinstance(tower, CausalText) == kind.startswith("causal")
    with torch.no_grad():
        expected = model.encode_text(tokenizer(SENTENCES), normalize=False)
    torch.testing.assert_close(tower.encode_texts(SENTENCES), expected, **CLOSE)
    torch.testing.assert_close(tower.encode_texts(SENTENCES, batch_size=2), expected, **CLOSE)
    assert tower.feature_width == expected.shape[1] == 96
    with pytest.raises(UserError, match=f"of {tower.context_length} positions; shorten it"):
        tower.encode_texts(["dog " * 30])


@pytest.mark.parametrize("class_specific", [True, False])
@pytest.mark.parametrize("kind", TEXTS)
def test_a_prompt_of_words_is_the_sentence_and_gradients_reach_it(kind: str, class_specific: bool, text_model) -> None:
    model, tokenizer = text_model(kind)
    tower, names = text_tower(model, tokenizer), ["dog", "traffic light", "red chair"]
    side = PromptSide.create(tower, names, context_words="a photo of a", class_specific=class_specific)
    with torch.no_grad():
        expected = model.encode_text(tokenizer([f"a photo of a {name}." for name in names]), normalize=False)
    features = side.text_features()
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad((features * torch.randn_like(features)).sum(), side.context)
    assert gradient.flatten(0, -2).norm(dim=-1).min() > 1e-6
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["last position (SigLIP)", "class token (CoCa)"])
def test_many_classes_go_through_a_whole_tower_in_chunks(kind: str, text_model, monkeypatch) -> None:
    tower = text_tower(*text_model(kind))
    side = PromptSide.create(tower, [f"dog {number}" for number in range(7)], context_length=3)
    features = side.text_features()
    (gradient,) = torch.autograd.grad(features.square().sum(), side.context)
    monkeypatch.setattr("promptmlr.sides.prompt.KEPT_BYTES", 0)
    monkeypatch.setattr("promptmlr.sides.prompt.CHUNK_BYTES", 3 * tower.activation_bytes(6))
    chunked = side.text_features()
    torch.testing.assert_close(chunked, features, **CLOSE)
    chunked.square().sum().backward()
    torch.testing.assert_close(side.context.grad, gradient, rtol=1e-4, atol=1e-5)


def test_a_tower_without_a_token_table_encodes_sentences_and_refuses_prompts_in_one_line(text_model) -> None:
    class Counting(nn.Module):
        """(N, L) ids → (N, 96): how often each of some ids occurs."""

        context_length, output_dim = 20, 96

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(1000, 96))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return nn.functional.one_hot(ids, 1000).float().sum(dim=1) @ self.weight

    model, tokenizer = text_model("last position (SigLIP)")
    model.text = Counting()
    tower = text_tower(model, tokenizer)
    with torch.no_grad():
        torch.testing.assert_close(tower.encode_texts(SENTENCES), model.encode_text(tokenizer(SENTENCES)), **CLOSE)
    with pytest.raises(
        UserError, match=r"prompts cannot be learned through a text tower Counting, .* --method anchored"
    ):
        PromptSide.create(tower, ["dog"], context_words="a photo of a")
