"""`load_backbone`: by path, by open_clip's names and tags, and without a network."""

import json
import os
import re
import time

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from promptmlr.backbone import bare_backbone, bare_model, download, is_downloaded, load_backbone
from promptmlr.backbone.checkpoint import build_openai_model
from promptmlr.errors import EnvironmentFault, UserError

IMAGES = torch.randn(2, 3, 48, 48)


def regions_with(state: dict[str, torch.Tensor], quick_gelu: bool) -> torch.Tensor:
    model = build_openai_model(state, "here", quick_gelu).eval()
    with torch.no_grad():
        return model.encode_image(IMAGES)


@pytest.mark.parametrize(
    ("name", "override", "quick"),
    [
        ("Tiny", None, False),
        ("Tiny", True, True),
        ("Tiny-quickgelu", None, True),
        ("Tiny-quickgelu", False, False),
        (None, None, True),
        (None, False, False),
    ],
)
def test_the_activation_of_a_file(open_clip_knows, vit_file, tiny_vit, name, override, quick: bool) -> None:
    """A name means open_clip's configuration, a bare file means OpenAI's, and `quick_gelu` overrides either."""
    if name is None:
        backbone = load_backbone(vit_file, quick_gelu=override)
    else:
        backbone = load_backbone(name, pretrained=vit_file, quick_gelu=override)
    assert (backbone.image_size, backbone.feature_width, backbone.regions) == (48, 96, 10)
    torch.testing.assert_close(backbone.encode_image(IMAGES)[:, 0], regions_with(tiny_vit, quick), rtol=1e-4, atol=1e-4)
    assert (regions_with(tiny_vit, True) - regions_with(tiny_vit, False)).abs().max() > 1e-2


@pytest.mark.parametrize(("tag", "quick"), [("quick", True), ("plain", False)])
@pytest.mark.filterwarnings("error")
def test_a_tag_brings_activation_and_normalisation(
    open_clip_knows, vit_file, tiny_vit, tag, quick, monkeypatch
) -> None:
    asked = []
    monkeypatch.setattr(download, "download_pretrained", lambda config: asked.append(config) or str(vit_file))
    backbone = load_backbone("Tiny", pretrained=tag, image_size=32)
    assert asked == [open_clip.pretrained._PRETRAINED["Tiny"][tag]]
    assert backbone.image_size == 32
    assert backbone.preprocessing.mean == ((0.1, 0.2, 0.3) if quick else open_clip.OPENAI_DATASET_MEAN)
    assert backbone.preprocessing.std == ((0.4, 0.5, 0.6) if quick else open_clip.OPENAI_DATASET_STD)
    native = load_backbone("Tiny", pretrained=tag)
    torch.testing.assert_close(native.encode_image(IMAGES)[:, 0], regions_with(tiny_vit, quick), rtol=1e-4, atol=1e-4)


def test_other_forms_of_file_by_name(open_clip_knows, tiny_vit, write_torchscript, tmp_path) -> None:
    """Safetensors, and OpenAI's archive, which open_clip's own loader refuses to read without running it."""
    save_file(tiny_vit, tmp_path / "tiny.safetensors")
    write_torchscript({key: value.half() for key, value in tiny_vit.items()}, tmp_path / "tiny.pt")
    for name, expected in (
        ("tiny.safetensors", tiny_vit),
        ("tiny.pt", {k: v.half().float() for k, v in tiny_vit.items()}),
    ):
        loaded = load_backbone("Tiny", pretrained=tmp_path / name)._model.state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in expected.items())


def test_a_file_of_another_model_is_refused(open_clip_knows, tiny_checkpoint) -> None:
    with pytest.raises(UserError, match=r"does not fit Tiny: .*; name the model it was saved from") as error:
        load_backbone("Tiny", pretrained=tiny_checkpoint)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("tag", "fetch", "option"),
    [
        ("quick", "there/tiny-quick.pt", "--backbone Tiny --pretrained quick=FILE"),
        ("plain", "open_clip_pytorch_model.bin of someone/tiny-plain on", "--backbone Tiny --pretrained plain=FILE"),
    ],
)
def test_without_a_network_one_line_says_which_file_to_put_where(open_clip_knows, tag, fetch, option) -> None:
    with pytest.raises(EnvironmentFault) as error:
        load_backbone("Tiny", pretrained=tag)
    message = str(error.value)
    assert f"cannot download Tiny ({tag}): Name or service not known; without a network, fetch {fetch}" in message
    assert message.endswith(f"{option} (or try the miniature: --backbone scenes)")
    assert "\n" not in message


@pytest.mark.parametrize("tag", ["quick", "plain"])
def test_the_file_of_a_tag_means_what_the_tag_means(open_clip_knows, vit_file, monkeypatch, tag: str) -> None:
    """Activation, mean and deviation, size and the name it is known by, as if it had been downloaded."""
    with pytest.raises(EnvironmentFault) as error:
        load_backbone("Tiny", pretrained=tag)
    name, advised = re.search(r"--backbone (\S+) --pretrained (\S+)", str(error.value)).groups()
    followed = load_backbone(name, pretrained=advised.replace("FILE", str(vit_file)))
    monkeypatch.setattr(download, "download_pretrained", lambda _: str(vit_file))
    downloaded = load_backbone("Tiny", pretrained=tag)
    assert followed.identity() == downloaded.identity()
    assert torch.equal(followed.encode_image(IMAGES), downloaded.encode_image(IMAGES))


def test_only_what_is_not_at_hand_is_downloaded(open_clip_knows, vit_file) -> None:
    assert is_downloaded("Tiny", "quick")
    assert not is_downloaded("Tiny", f"quick={vit_file}")
    assert not is_downloaded("Tiny", str(vit_file))
    assert not is_downloaded("scenes", None)
    assert not is_downloaded(vit_file, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Tiny", "quik"), "Tiny has no pretrained tag 'quik' and there is no such file; did you mean 'quick'?"),
        (("Tiny", "quick="), "quick= names no file after '='; write quick=FILE, or quick alone to download it"),
        (("Tiny", "quick=gone.pt"), "no checkpoint at gone.pt; give the path of an existing file"),
        (
            ("Tiny", "quik=gone.pt"),
            "Tiny has no pretrained tag 'quik' and there is no such file; did you mean 'quick'?",
        ),
        (("ViT-S-32",), "it has no tags: name a file"),
        (("missing.pt",), "no checkpoint at missing.pt"),
        (("missing/clip.safetensors",), "no checkpoint at missing/clip.safetensors"),
        (("missing/clip",), "unknown backbone 'missing/clip': neither a file nor a model of open_clip"),
        (("x" * 300,), "File name too long"),
        (("Tiny", "x" * 300), "File name too long"),
        ((os.fsdecode(b"bad\xff.pt"),), r"bad\udcff.pt: this name is not UTF-8"),
        (("scenes", "openai"), "scenes already names its weights; leave `pretrained` out"),
    ],
)
def test_a_backbone_that_cannot_be_loaded_is_one_line(open_clip_knows, arguments, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_backbone(*arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_size_that_does_not_fit_is_refused_before_weights_are_fetched(open_clip_knows) -> None:
    with pytest.raises(UserError, match="image size 40 does not fit Tiny: it must be a multiple of 16, such as 32, 48"):
        load_backbone("Tiny", "quick", 40)


@pytest.mark.parametrize("size", [0, -64, 31, 100])
def test_an_image_size_that_does_not_fit_is_refused(tiny_checkpoint, size: int) -> None:
    with pytest.raises(UserError, match=f"image size {size} does not fit .*: it must be a multiple of 32"):
        load_backbone(tiny_checkpoint, image_size=size)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_devices_that_are_not_there(tiny_checkpoint, device: str) -> None:
    with pytest.raises(UserError, match=f"device '{device}' cannot be used") as error:
        load_backbone(tiny_checkpoint, device=device)
    assert "\n" not in str(error.value)


def test_a_backbone_is_known_by_its_weights(tiny_resnet, tiny_checkpoint, tmp_path) -> None:
    """The same weights in another file and at another size are the same; one changed number is not."""
    first = load_backbone(tiny_checkpoint)
    torch.save(tiny_resnet, tmp_path / "same.pt")
    same = load_backbone(tmp_path / "same.pt", image_size=96)
    other = dict(tiny_resnet)
    other["visual.layer1.0.bn1.running_mean"] = other["visual.layer1.0.bn1.running_mean"].clone()
    other["visual.layer1.0.bn1.running_mean"][3] += 1e-3
    torch.save(other, tmp_path / "other.pt")
    assert same.weights_sha256 == first.weights_sha256
    assert load_backbone(tmp_path / "other.pt").weights_sha256 != first.weights_sha256
    assert same.identity() == {
        "name": str(tmp_path / "same.pt"),
        "pretrained": None,
        "weights_sha256": first.weights_sha256,
        "dtype": "float32",
        "text_dtype": "float32",
        "activation": "relu",
        "text_activation": "quickgelu",
        "feature_width": 96,
        "preprocessing": same.preprocessing.as_dict(),
    }


def test_the_miniature_clip_comes_with_the_package(scenes_backbone) -> None:
    assert scenes_backbone.name == "scenes"
    assert scenes_backbone.encode_image(torch.randn(1, 3, 128, 128)).shape == (1, 17, scenes_backbone.feature_width)
    foreign = scenes_backbone.encode_text(["a photo of a theodolite.", "a photo of a samovar."])
    assert torch.isfinite(foreign).all()
    assert not torch.equal(foreign[0], foreign[1])


def test_a_text_too_long_is_refused(tiny_backbone) -> None:
    with pytest.raises(UserError, match=r"the text 'dog dog .* takes 82 of 77 positions; shorten it"):
        tiny_backbone.encode_text(["dog", " ".join(["dog"] * 80)])


@pytest.mark.parametrize("texts", ["dog", [], None, ["dog", 3], [None]])
def test_what_is_no_list_of_texts_is_refused(tiny_backbone, texts) -> None:
    with pytest.raises(UserError, match="encode_text takes a list of one or more texts"):
        tiny_backbone.encode_text(texts)


def test_texts_may_be_any_sequence(tiny_backbone) -> None:
    expected = tiny_backbone.encode_text(["dog", "cat"])
    assert torch.equal(tiny_backbone.encode_text(np.array(["dog", "cat"])), expected)
    assert torch.equal(tiny_backbone.encode_text(("dog", "cat")), expected)


def test_bare_models_need_no_network(open_clip_knows, tiny_checkpoint) -> None:
    first, again = bare_model("Tiny"), bare_model("Tiny")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert bare_backbone("Tiny").regions == 10
    assert bare_backbone("Tiny", 96, dtype=torch.bfloat16).identity()["dtype"] == "bfloat16"
    before = torch.get_rng_state()
    bare_model("Tiny")
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(UserError, match="unknown backbone 'Tinny'"):
        bare_model("Tinny")
    named = bare_backbone(tiny_checkpoint)
    assert named.weights_sha256 == load_backbone(tiny_checkpoint).weights_sha256


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("Tiny", "--backbone Tiny --pretrained plain=FILE"),
        ("hf-hub:someone/tower", "https://huggingface.co/someone/tower on another machine into a folder and pass it"),
    ],
)
def test_without_a_network_nothing_is_tried_again_and_again(open_clip_knows, name, advice, monkeypatch) -> None:
    """Asked once for any answer, then caches alone are looked at."""
    monkeypatch.setattr(download, "_answers", lambda _address: False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    seen = []

    def cached(*_arguments, **_options):
        seen.append(huggingface_hub.constants.HF_HUB_OFFLINE)
        raise OSError("not in the cache")

    monkeypatch.setattr(download, "download_pretrained", cached)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", cached)
    with pytest.raises(EnvironmentFault, match=r"huggingface.co does not answer; without a network, ") as error:
        load_backbone(name, pretrained="plain" if name == "Tiny" else None)
    assert advice in str(error.value)
    assert "\n" not in str(error.value)
    assert seen == [True]
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


def test_an_address_that_never_answers_is_given_up_within_seconds(monkeypatch) -> None:
    monkeypatch.setattr(download, "PATIENCE", 0.2)
    monkeypatch.setattr(download, "_any_answer", lambda _address: time.sleep(3) or True)
    begun = time.monotonic()
    assert not download._answers("https://somewhere.example")
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf-hub:", "write hf-hub:owner/name or local-dir:FOLDER"),
        ("local-dir:nowhere", "there is no nowhere/open_clip_config.json; open_clip writes it beside the weights"),
    ],
)
def test_other_schemes_of_open_clip_that_name_nothing(name: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_backbone(name)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["hf-hub:", "hf-hub:not a name", "hf-hub:one/two/three"])
def test_what_can_be_no_repository_is_said_before_anything_is_asked(name: str, monkeypatch) -> None:
    monkeypatch.setattr(download, "_answers", None)
    for ask in (load_backbone, lambda name: is_downloaded(name, None)):
        with pytest.raises(UserError, match=r"write hf-hub:owner/name"):
            ask(name)


def test_a_folder_is_kept_by_its_full_path(open_clip_knows, tiny_vit, tmp_path, monkeypatch) -> None:
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": open_clip.get_model_config("Tiny")}))
    save_file(tiny_vit, tmp_path / "open_clip_model.safetensors")
    monkeypatch.chdir(tmp_path)
    assert load_backbone("local-dir:.").identity()["name"] == f"local-dir:{tmp_path}"


def test_a_folder_is_named_with_its_scheme(open_clip_knows, tiny_vit, tmp_path) -> None:
    with pytest.raises(UserError, match=f"is a folder: write local-dir:{tmp_path} where an open_clip_config.json lies"):
        load_backbone(tmp_path)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": open_clip.get_model_config("Tiny")}))
    with pytest.raises(UserError, match=r"holds no weights; they are looked for as open_clip_model.safetensors, "):
        load_backbone(f"local-dir:{tmp_path}")
    save_file(tiny_vit, tmp_path / "open_clip_model.safetensors")
    loaded = load_backbone(f"local-dir:{tmp_path}")
    assert all(torch.equal(loaded._model.state_dict()[key], value) for key, value in tiny_vit.items())
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(UserError, match="is no configuration that open_clip writes"):
        load_backbone(f"local-dir:{tmp_path}")


def test_the_only_tag_need_not_be_named(open_clip_knows, vit_file, monkeypatch) -> None:
    monkeypatch.setattr(download, "download_pretrained", lambda _: str(vit_file))
    assert load_backbone("Tiny-quickgelu").pretrained == "quick"
    with pytest.raises(UserError, match="Tiny has no pretrained tag 'openai'"):
        load_backbone("Tiny")
