"""Which of open_clip's models have regions, and with which activation: read from its tables, nothing downloaded."""

import open_clip
import pytest
from open_clip.pretrained import get_pretrained_cfg

from promptmlr.backbone import catalogue
from promptmlr.backbone.catalogue import find_entry, refusal, uses_quick_gelu
from promptmlr.errors import UserError

PAIRS = [(entry.name, tag) for entry in catalogue() for tag in entry.tags]


def test_the_catalogue_is_sorted_and_whole() -> None:
    entries = {entry.name: entry for entry in catalogue()}
    assert list(entries) == sorted(entries)
    assert {"RN50", "RN101", "RN50x64", "ViT-B-32", "ViT-L-14-336", "ViT-bigG-14"} <= set(entries)
    assert len(PAIRS) > 80
    for name, entry in entries.items():
        assert entry.tags, name
        assert entry.image_size % entry.patch == 0, name
    assert (entries["RN101"].feature_width, entries["RN101"].image_size, entries["RN101"].patch) == (512, 224, 32)
    assert entries["RN101"].regions(224) == 50
    assert entries["RN101"].regions(448) == 197
    assert entries["ViT-L-14-336"].regions(336) == 577


@pytest.mark.parametrize(("name", "tag"), PAIRS)
def test_the_activation_of_every_tag(name: str, tag: str) -> None:
    """What open_clip's tag says decides, and a model named for QuickGELU has it."""
    quick = uses_quick_gelu(name, tag)
    assert quick == bool(get_pretrained_cfg(name, tag).get("quick_gelu") or name.endswith("-quickgelu"))
    if tag == "openai":
        assert quick
    if tag.startswith(("laion2b", "datacomp", "commonpool")):
        assert not quick


def test_a_file_has_the_activation_of_the_model_named_with_it() -> None:
    assert not uses_quick_gelu("ViT-B-32", "weights.pt")
    assert uses_quick_gelu("ViT-B-32-quickgelu", "weights.pt")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ViT-B-16-SigLIP", "timm"),
        ("convnext_base", "timm"),
        ("EVA02-B-16", "timm"),
        ("MobileCLIP-S1", "timm"),
        ("ViT-L-14-CLIPA", "not causal"),
        ("coca_ViT-B-32", "CoCa"),
        ("roberta-ViT-B-32", "Hugging Face"),
        ("xlm-roberta-base-ViT-B-32", "Hugging Face"),
        ("nllb-clip-base", "Hugging Face"),
        ("ViT-H-14-worldwide", "end token"),
    ],
)
def test_models_without_regions_are_refused_with_the_reason_and_what_works(name: str, reason: str) -> None:
    assert reason in refusal(open_clip.get_model_config(name))
    with pytest.raises(UserError) as error:
        find_entry(name)
    assert reason in str(error.value)
    assert "these work: RN101, " in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_left_is_a_plain_clip() -> None:
    """Models are built from their configuration alone, so nothing of it may ask for another class."""
    for entry in catalogue():
        config = open_clip.get_model_config(entry.name)
        assert set(config) <= {"embed_dim", "quick_gelu", "text_cfg", "vision_cfg"}, entry.name
        assert set(config["vision_cfg"]) <= {"head_width", "image_size", "layers", "mlp_ratio", "patch_size", "width"}
        assert set(config["text_cfg"]) == {"context_length", "heads", "layers", "vocab_size", "width"}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ViT-B32", "ViT-B-32"),
        ("vitb32", "ViT-B-32"),
        ("rn101", "RN101"),
        ("scnes", "did you mean 'scenes'"),
        ("resnet", "known: scenes, RN101"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UserError, match=f"unknown backbone {name!r}") as error:
        find_entry(name)
    assert nearest in str(error.value)


@pytest.mark.parametrize("name", ["hf-hub:someone/something", "local-dir:somewhere"])
def test_other_schemes_of_open_clip_are_unknown_names(name: str, monkeypatch) -> None:
    """And nothing is asked for over the network to find that out."""
    monkeypatch.setattr(open_clip.factory, "_get_hf_config", lambda *_: pytest.fail("asked the network"))
    with pytest.raises(UserError, match="unknown backbone"):
        find_entry(name)
