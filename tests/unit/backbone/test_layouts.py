"""Checkpoints under other names: prefixes of wrappers, text towers set apart, Hugging Face's layouts, several files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from promptmlr.backbone import load_backbone
from promptmlr.backbone.architecture import looks_like
from promptmlr.backbone.building import build_model
from promptmlr.backbone.checkpoint import build_open_clip_model, build_openai_model, read_state_dict
from promptmlr.backbone.layouts import as_named_in, misfits
from promptmlr.errors import UserError

State = dict[str, torch.Tensor]
POSITION_IDS = "vision_model.embeddings.position_ids"


def clip_model_layout(state: State) -> State:
    """OpenAI's names → those of transformers' `CLIPModel`."""
    found: State = {"logit_scale": state["logit_scale"]}
    for source, target in (("visual.transformer.", "vision_model."), ("transformer.", "text_model.")):
        for layer in range(2):
            own, theirs = f"{source}resblocks.{layer}.", f"{target}encoder.layers.{layer}."
            for part in ("weight", "bias"):
                for name, value in zip("qkv", state[f"{own}attn.in_proj_{part}"].chunk(3), strict=True):
                    found[f"{theirs}self_attn.{name}_proj.{part}"] = value.clone()
                for a, b in (
                    ("attn.out_proj", "self_attn.out_proj"),
                    ("ln_1", "layer_norm1"),
                    ("ln_2", "layer_norm2"),
                    ("mlp.c_fc", "mlp.fc1"),
                    ("mlp.c_proj", "mlp.fc2"),
                ):
                    found[f"{theirs}{b}.{part}"] = state[f"{own}{a}.{part}"]
    for a, b in (
        ("visual.ln_pre", "vision_model.pre_layrnorm"),
        ("visual.ln_post", "vision_model.post_layernorm"),
        ("ln_final", "text_model.final_layer_norm"),
    ):
        found |= {f"{b}.{part}": state[f"{a}.{part}"] for part in ("weight", "bias")}
    found["vision_model.embeddings.class_embedding"] = state["visual.class_embedding"]
    found["vision_model.embeddings.patch_embedding.weight"] = state["visual.conv1.weight"]
    found["vision_model.embeddings.position_embedding.weight"] = state["visual.positional_embedding"]
    found[POSITION_IDS] = torch.arange(10)[None]
    found["text_model.embeddings.token_embedding.weight"] = state["token_embedding.weight"]
    found["text_model.embeddings.position_embedding.weight"] = state["positional_embedding"]
    found["visual_projection.weight"] = state["visual.proj"].T.contiguous()
    found["text_projection.weight"] = state["text_projection"].T.contiguous()
    return found


def text_apart(state: State) -> State:
    return {key if key.startswith(("visual.", "logit")) else f"text.{key}": value for key, value in state.items()}


LAYOUTS: dict[str, Callable[[State], dict]] = {
    "as it is": dict,
    "Lightning": lambda state: {"state_dict": {f"model.{key}": value for key, value in state.items()}, "epoch": 1},
    "compiled": lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
    "in a module of another name": lambda state: {f"clip.{key}": value for key, value in state.items()},
    "under model": lambda state: {"model": state, "epoch": 3},
    "under model_state_dict": lambda state: {"model_state_dict": state},
    "beside a score": lambda state: {"best": np.float64(0.7), "state_dict": state},
    "text apart": text_apart,
    "with a mask": lambda state: state | {"attn_mask": torch.zeros(77, 77)},
    "Hugging Face": clip_model_layout,
    "Hugging Face, Lightning": lambda state: {f"model.{key}": value for key, value in clip_model_layout(state).items()},
}


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_holds_the_same_model(layout: str, by_name: bool, open_clip_knows, tiny_vit, tmp_path) -> None:
    torch.save(LAYOUTS[layout](tiny_vit), tmp_path / "clip.pt")
    path = tmp_path / "clip.pt"
    backbone = load_backbone("Tiny-quickgelu", path) if by_name else load_backbone(path)
    loaded = backbone._model.state_dict()
    assert sorted(loaded) == sorted(tiny_vit)
    assert all(torch.equal(loaded[key], value) for key, value in tiny_vit.items())


@pytest.mark.parametrize("named", ["the index", "the folder"])
def test_a_model_in_several_files(named: str, open_clip_knows, tiny_vit, tmp_path: Path) -> None:
    state = clip_model_layout(tiny_vit)
    keys = sorted(state)
    parts = {"a.safetensors": keys[:20], "b.safetensors": keys[20:]}
    for name, own in parts.items():
        save_file({key: state[key].contiguous() for key in own}, tmp_path / name)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {key: name for name, own in parts.items() for key in own}}))
    path = index if named == "the index" else tmp_path
    loaded = load_backbone("Tiny-quickgelu", path)._model.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in tiny_vit.items())
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(UserError, match="cannot read the checkpoint"):
        load_backbone("Tiny-quickgelu", path)


def test_a_logit_bias_makes_a_model_with_one(open_clip_knows, tiny_vit, tmp_path) -> None:
    torch.save(tiny_vit | {"logit_bias": torch.tensor([-10.0])}, tmp_path / "clip.pt")
    for backbone in (load_backbone("Tiny", tmp_path / "clip.pt"), load_backbone(tmp_path / "clip.pt")):
        assert float(backbone._model.logit_bias) == -10


def without(state: State, start: str | tuple[str, ...]) -> State:
    return {key: value for key, value in state.items() if not key.startswith(start)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "ln_final"), "2 missing (ln_final.bias, ln_final.weight); it looks like open_clip's "),
        (lambda s: s | {"extra.weight": torch.zeros(3)}, "1 unexpected (extra.weight)"),
        (lambda s: s | {"ln_final.bias": torch.zeros(3)}, "1 of another shape (ln_final.bias (3,) for (64,))"),
        (
            lambda s: {f"model.{k}": v for k, v in s.items()} | {"loss.weight": torch.zeros(3)},
            "unexpected (loss.weight, ",
        ),
        (lambda _: {"fc.weight": torch.zeros(3, 3)}, "it looks like no CLIP: its names begin with fc"),
        (
            lambda s: without(clip_model_layout(s), ("text_model.final", POSITION_IDS)),
            "2 missing (ln_final.bias, ln_final.weight)",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded_in_part(
    change, message: str, open_clip_knows, tiny_vit
) -> None:
    config = open_clip.get_model_config("Tiny")
    with pytest.raises(UserError) as error:
        build_open_clip_model("Tiny", config, change(tiny_vit), "clip.pt", quick_gelu=True)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


LIKE = ("RN50", "RN101", "ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-H-14", "ViT-H-14-worldwide", "ViT-B-16-SigLIP2-384")
OF_TIMM_AND_COCA = ("EVA02-B-16", "MobileCLIP2-S0", "convnext_base", "coca_ViT-B-32")


@pytest.mark.parametrize("name", [*LIKE, *OF_TIMM_AND_COCA])
def test_a_checkpoint_says_which_model_it_looks_like(name: str) -> None:
    with torch.device("meta"):
        state = build_model(open_clip.get_model_config(name), quick_gelu=False).state_dict()
    assert looks_like(state).endswith(f", as {name}")
    assert looks_like({f"module.{key}": value for key, value in state.items()}).endswith(f", as {name}")
    assert ", as " not in looks_like(state | {"text_projection": torch.zeros(7, 7)})


# Against transformers' own models.


def test_transformers_siglip_model_says_which_model_it_looks_like() -> None:
    transformers = pytest.importorskip("transformers", reason="comes with promptmlr[text]")
    sizes = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    text = sizes | {"vocab_size": 32000, "max_position_embeddings": 64}
    with torch.device("meta"):
        config = transformers.SiglipConfig(text_config=text, vision_config=sizes | {"image_size": 224})
        state = transformers.SiglipModel(config).state_dict()
    assert looks_like(state).endswith(", as ViT-B-16-SigLIP")
    with pytest.raises(UserError, match="--backbone ViT-B-16-SigLIP --pretrained FILE"):
        build_openai_model({key: torch.zeros(1).expand(value.shape) for key, value in state.items()}, "model.pt")


def test_transformers_clip_model_gives_the_same_features(tmp_path) -> None:
    transformers = pytest.importorskip("transformers", reason="comes with promptmlr[text]")
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 1}
    config = transformers.CLIPConfig(
        vision_config=sizes | {"image_size": 48, "patch_size": 16}, text_config=sizes, projection_dim=96
    )
    torch.manual_seed(0)
    theirs = transformers.CLIPModel(config).eval()
    theirs.save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path / "model.safetensors")
    images, texts = torch.randn(2, 3, 48, 48), ["a photo of a dog.", "red"]
    with torch.no_grad():
        seen = theirs.visual_projection(theirs.vision_model(images).pooler_output)
        # the end token is the largest id, which its configuration does not say
        hidden = theirs.text_model(open_clip.tokenize(texts)).last_hidden_state
        at = open_clip.tokenize(texts).argmax(dim=1)
        read = theirs.text_projection(hidden[torch.arange(2), at])
    torch.testing.assert_close(backbone.encode_image(images)[:, 0], seen, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(backbone.encode_text(texts), read, rtol=1e-4, atol=1e-5)


def test_transformers_siglip_model_gives_the_same_features(tmp_path, monkeypatch) -> None:
    transformers = pytest.importorskip("transformers", reason="comes with promptmlr[text]")

    def tiny_siglip(pretrained: bool = False, **options) -> VisionTransformer:
        assert not pretrained
        options = {
            key: value for key, value in options.items() if value is not None and not key.startswith("pretrained")
        }
        return VisionTransformer(
            img_size=48, patch_size=16, embed_dim=64, depth=2, num_heads=1, class_token=False, **options
        )

    monkeypatch.setitem(timm.models._registry._model_entrypoints, "tiny_siglip", tiny_siglip)
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 1}
    config = transformers.SiglipConfig(
        vision_config=sizes | {"image_size": 48, "patch_size": 16, "hidden_act": "gelu"},
        text_config=sizes | {"vocab_size": 1000, "max_position_embeddings": 20, "hidden_act": "gelu"},
    )
    torch.manual_seed(0)
    theirs = transformers.SiglipModel(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = build_model(
        {
            "embed_dim": 64,
            "init_logit_bias": -10,
            "custom_text": True,
            "vision_cfg": {"image_size": 48, "timm_model_name": "tiny_siglip", "timm_pool": "map", "timm_proj": "none"},
            "text_cfg": {
                "context_length": 20,
                "vocab_size": 1000,
                "width": 64,
                "heads": 1,
                "layers": 2,
                "no_causal_mask": True,
                "proj_bias": True,
                "pool_type": "last",
                "norm_kwargs": {"eps": 1e-6},
            },
        },
        quick_gelu=False,
    ).eval()
    named = as_named_in(ours, read_state_dict(tmp_path))
    assert misfits(ours, named) is None
    ours.load_state_dict(named)
    images, ids = torch.randn(2, 3, 48, 48), torch.randint(2, 1000, (2, 20))
    with torch.no_grad():
        seen, read = theirs.vision_model(images).pooler_output, theirs.text_model(ids).pooler_output
        torch.testing.assert_close(ours.encode_image(images), seen, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.encode_text(ids), read, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "clip", "vision_config": {"hidden_act": "gelu"}}, "gelu"),
        ({"model_type": "clip", "vision_config": {}}, "quickgelu"),
        ({"model_type": "other", "vision_config": {"hidden_act": "gelu"}}, "quickgelu"),
        (None, "quickgelu"),
    ],
)
def test_the_activation_of_a_bare_file_is_what_its_config_says(config, expected, tiny_vit, tmp_path) -> None:
    torch.save(clip_model_layout(tiny_vit), tmp_path / "clip.pt")
    (tmp_path / "config.json").write_text("no json" if config is None else json.dumps(config))
    identity = load_backbone(tmp_path / "clip.pt").identity()
    assert (identity["activation"], identity["text_activation"]) == (expected, expected)
