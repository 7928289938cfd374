"""Which of open_clip's models have regions, and with which activation: read from its tables, nothing downloaded."""

import open_clip
import pytest
import torch
from open_clip.pretrained import get_pretrained_cfg

from promptmlr.backbone import catalogue
from promptmlr.backbone.building import build_image_tower
from promptmlr.backbone.catalogue import find_entry, native_size, pretrained_names, refused, uses_quick_gelu
from promptmlr.backbone.image import tower_kind
from promptmlr.errors import UserError

PAIRS = [(entry.name, tag) for entry in catalogue() for tag in entry.tags]


def test_the_catalogue_is_sorted_and_whole() -> None:
    entries = {entry.name: entry for entry in catalogue()}
    assert list(entries) == sorted(entries)
    assert {"RN50", "RN101", "RN50x64", "ViT-B-32", "ViT-L-14-336", "ViT-bigG-14"} <= set(entries)
    assert len(entries) + len(list(refused())) == len(pretrained_names())
    assert len(entries) >= 105
    for name, entry in entries.items():
        assert entry.tags, name
        assert entry.image_size % entry.patch == 0 or name in ("ViT-SO400M-14-SigLIP-384", "nllb-clip-large-siglip"), (
            name
        )
    assert (entries["RN101"].feature_width, entries["RN101"].image_size, entries["RN101"].patch) == (512, 224, 32)
    assert entries["RN101"].regions(224) == 50
    assert entries["RN101"].regions(448) == 197
    assert entries["ViT-L-14-336"].regions(336) == 577


@pytest.mark.parametrize(("name", "tag"), PAIRS)
def test_the_activation_of_every_tag(name: str, tag: str) -> None:
    """What open_clip's tag says decides, and a model named for QuickGELU has it."""
    quick = uses_quick_gelu(name, tag)
    assert quick == bool(
        get_pretrained_cfg(name, tag).get("quick_gelu") or name.endswith("-quickgelu") or name == "roberta-ViT-B-32"
    )
    if tag == "openai":
        assert quick
    if tag.startswith(("laion2b", "datacomp", "commonpool")) and not name.startswith("roberta"):
        assert not quick


def test_a_file_has_the_activation_of_the_model_named_with_it() -> None:
    assert not uses_quick_gelu("ViT-B-32", "weights.pt")
    assert uses_quick_gelu("ViT-B-32-quickgelu", "weights.pt")


@pytest.mark.parametrize(
    ("vision", "text", "reason"),
    [
        (
            {"attentional_pool": "parallel"},
            {},
            "no regions are known of an image tower VisionTransformer; known: CLIP's",
        ),
        ({"timm_model_name": "swin_tiny_patch4_window7_224"}, {}, "TimmModel around SwinTransformer; known:"),
        ({"timm_model_name": "vit_of_tomorrow"}, {}, "its image tower cannot be built here: Unknown model"),
        ({}, {"tokenizer_mode": "clips"}, "its tokenizer makes rows in a way of its own (clips)"),
    ],
)
def test_models_without_regions_are_refused_with_the_reason_and_what_works(vision, text, reason, monkeypatch) -> None:
    config = open_clip.get_model_config("ViT-B-32")
    config = config | {"vision_cfg": config["vision_cfg"] | vision, "text_cfg": config["text_cfg"] | text}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Odd", config)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "Odd", {"tag": {}})
    with pytest.raises(UserError) as error:
        find_entry("Odd")
    assert reason in str(error.value)
    assert "these work: EVA01-g-14, " in str(error.value)
    assert "\n" not in str(error.value)
    (refusal,) = (why for name, why in refused() if name == "Odd")
    assert reason in refusal


def test_the_table_says_what_towers_without_weights_say() -> None:
    """Of a name of each kind; `python bench/towers.py --table` writes all of it."""
    for name in ("RN50x4", "ViT-B-16-plus-240", "PE-Core-T-16-384", "MobileCLIP2-S0", "convnext_base_w_320"):
        entry, config = find_entry(name), open_clip.get_model_config(name)
        with torch.device("meta"):
            tower = build_image_tower(config)
        assert (entry.patch, entry.image_size) == (tower_kind(tower).patch_side(tower), native_size(tower)), name


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ViT-B32", "ViT-B-32"),
        ("vitb32", "ViT-B-32"),
        ("rn101", "RN101"),
        ("scnes", "did you mean 'scenes'"),
        ("resnet", "known: scenes, scenes-vit, EVA01-g-14"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UserError, match=f"unknown backbone {name!r}") as error:
        find_entry(name)
    assert nearest in str(error.value)


@pytest.mark.parametrize("name", ["hiera_tiny_224", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"])
def test_the_size_of_a_tower_is_found_wherever_it_is_kept(name: str) -> None:
    vision = {"timm_model_name": name, "timm_pool": "", "timm_proj": "linear", "image_size": 224}
    with torch.device("meta"):
        assert native_size(build_image_tower({"embed_dim": 8, "vision_cfg": vision, "text_cfg": {}})) == 224
