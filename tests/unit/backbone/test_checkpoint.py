"""Checkpoint files: every format that is promised, exact to the last bit, and what is no checkpoint refused."""

import contextlib
import pickle
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from promptmlr.backbone import load_backbone
from promptmlr.backbone.checkpoint import build_open_clip_model, build_openai_model, read_state_dict
from promptmlr.errors import UserError

SMALL = {"a.weight": torch.randn(5, 3), "b": torch.arange(4)}


@pytest.fixture
def write(write_torchscript, tmp_path) -> Callable[[dict[str, torch.Tensor], str], Path]:
    """Tensors and the name of a form → a checkpoint file."""

    def write(state: dict[str, torch.Tensor], form: str) -> Path:
        path = tmp_path / ("clip.safetensors" if form.startswith("safetensors") else "clip.pt")
        if form == "safetensors":
            save_file(state, path)
        elif form == "safetensors module.":
            save_file({f"module.{key}": value for key, value in state.items()}, path)
        elif form == "dict":
            torch.save(state, path)
        elif form == "old dict":
            torch.save(state, path, _use_new_zipfile_serialization=False)
        elif form == "state_dict":
            torch.save({"epoch": 3, "name": "RN50", "state_dict": state}, path)
        elif form == "module.":
            torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
        else:
            write_torchscript(state, path)
        return path

    return write


FORMS = ["safetensors", "safetensors module.", "dict", "old dict", "state_dict", "module.", "torchscript"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_tensors(form: str, write) -> None:
    state = read_state_dict(write(SMALL, form))
    assert sorted(state) == sorted(SMALL)
    assert all(torch.equal(state[key], value) and state[key].dtype == value.dtype for key, value in SMALL.items())


@pytest.mark.parametrize("form", ["safetensors", "torchscript"])
@pytest.mark.parametrize("half", [False, True])
def test_weights_are_loaded_to_the_last_bit(tiny_vit, form: str, half: bool, write) -> None:
    """float32 is not rounded to half precision on the way, and half precision is not rounded twice."""
    state = {key: value.half() if half and value.is_floating_point() else value for key, value in tiny_vit.items()}
    backbone = load_backbone(write(state, form))
    loaded = backbone._model.state_dict()
    assert sorted(loaded) == sorted(state)
    for key, value in state.items():
        assert torch.equal(loaded[key], value.float() if value.is_floating_point() else value), key


def test_the_architecture_is_inferred(tiny_resnet, tiny_vit) -> None:
    resnet, vit = build_openai_model(tiny_resnet, "here"), build_openai_model(tiny_vit, "there")
    assert (resnet.visual.image_size, resnet.visual.attnpool.num_heads, resnet.context_length) == (64, 4, 77)
    assert (vit.visual.image_size, vit.visual.patch_size, len(vit.visual.transformer.resblocks)) == (
        (48, 48),
        (16, 16),
        2,
    )
    assert len(vit.transformer.resblocks) == 2


class Payload:
    """Pickled, it would touch a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_code_in_a_checkpoint_is_not_run(save, tmp_path) -> None:
    path, touched = tmp_path / "clip.pt", tmp_path / "touched"
    save({"state_dict": Payload(touched)}, path)
    with pytest.raises(UserError, match="cannot read the checkpoint"):
        load_backbone(path)
    assert not touched.exists()


@pytest.mark.parametrize("form", ["safetensors", "dict", "old dict", "torchscript"])
def test_damaged_files_are_refused_in_one_line(form: str, write) -> None:
    """Cut short at many places, and with bytes of the last hundred changed (where zip files keep their index)."""
    path = write(SMALL, form)
    whole = path.read_bytes()
    for cut in range(16):
        path.write_bytes(whole[: len(whole) * cut // 16])
        with pytest.raises(UserError, match=r"cannot read the checkpoint|holds no state dict") as error:
            read_state_dict(path)
        assert "\n" not in str(error.value)
    for at in range(max(len(whole) - 100, 0), len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        with contextlib.suppress(UserError):  # a changed weight cannot be noticed; anything but a UserError can
            read_state_dict(path)


@pytest.mark.parametrize(
    "content", [b"", b"not weights at all\n" * 50, b"PK\x03\x04" + b"\x00" * 200, b"\x80\x02}q\x00."], ids=repr
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_no_checkpoint_is_refused_in_one_line(content: bytes, suffix: str, tmp_path) -> None:
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match="checkpoint") as error:
        load_backbone(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [[torch.zeros(2)], torch.zeros(2), {"a": 3}, {"state_dict": {"a": "b"}}], ids=repr)
def test_a_file_of_something_else_is_refused(content: object, tmp_path) -> None:
    torch.save(content, tmp_path / "clip.pt")
    with pytest.raises(UserError, match="holds no state dict"):
        load_backbone(tmp_path / "clip.pt")


def changed(state: dict[str, torch.Tensor], how: str) -> dict[str, torch.Tensor]:
    state = dict(state)
    match how:
        case "empty":
            return {}
        case "a key is missing":
            del state["visual.layer2.0.conv1.weight"]
        case "no text tower":
            return {key: value for key, value in state.items() if key.startswith("visual.")}
        case "a key too many":
            state["classifier.weight"] = torch.zeros(3)
        case "a wrong shape":
            state["visual.layer3.0.conv2.weight"] = torch.zeros(3, 3)
        case "positions of no square grid":
            state["visual.attnpool.positional_embedding"] = torch.zeros(7, 256)
        case "scalars":
            state = {key: torch.tensor(0.0) for key in state}
        case "a text tower too narrow":
            state["ln_final.weight"] = torch.zeros(16)
        case "a short vocabulary":
            state["token_embedding.weight"] = torch.zeros(1000, 64)
        case "packed without a table":
            del state["token_embedding.weight"]
            state["token_embedding.ids"] = torch.arange(3)
        case "packed in one dimension":
            state |= {"token_embedding.weight": torch.zeros(3), "token_embedding.ids": torch.arange(3)}
        case "packed beyond the vocabulary":
            state |= {"token_embedding.weight": torch.zeros(2, 64), "token_embedding.ids": torch.tensor([3, 49408])}
        case "packed below the vocabulary":
            state |= {"token_embedding.weight": torch.zeros(2, 64), "token_embedding.ids": torch.tensor([3, -1])}
        case "packed under fractions":
            state |= {"token_embedding.weight": torch.zeros(2, 64), "token_embedding.ids": torch.tensor([3.0, 4.0])}
        case "packed with too few ids":
            state |= {"token_embedding.weight": torch.zeros(2, 64), "token_embedding.ids": torch.tensor([3])}
    return state


@pytest.mark.parametrize(
    "how",
    [
        "empty",
        "a key is missing",
        "no text tower",
        "a key too many",
        "a wrong shape",
        "positions of no square grid",
        "scalars",
        "a text tower too narrow",
        "a short vocabulary",
        "packed without a table",
        "packed in one dimension",
        "packed beyond the vocabulary",
        "packed below the vocabulary",
        "packed under fractions",
        "packed with too few ids",
    ],
)
def test_tensors_of_another_model_are_refused_in_one_line(tiny_resnet, how: str) -> None:
    with pytest.raises(UserError, match=r"the checkpoint clip\.pt is no CLIP in OpenAI's layout") as error:
        build_openai_model(changed(tiny_resnet, how), "clip.pt")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.tensor(torch.nan), "NaN or infinity in logit_scale"),
        (torch.tensor(-torch.inf).half(), "NaN or infinity in logit_scale"),
        (torch.tensor(4), "logit_scale as torch.int64; weights must be floating-point"),
        (torch.tensor(4 + 1j), "logit_scale as torch.complex64"),
    ],
)
@pytest.mark.parametrize(
    "build",
    [
        lambda state: build_openai_model(state, "clip.pt"),
        lambda state: build_open_clip_model(
            "RN50", open_clip.get_model_config("RN50"), state, "clip.pt", quick_gelu=True
        ),
    ],
)
def test_a_weight_that_is_no_finite_number_is_named(tiny_resnet, build, value: torch.Tensor, message: str) -> None:
    with pytest.raises(UserError) as error:
        build(tiny_resnet | {"logit_scale": value})
    assert f"the checkpoint clip.pt holds {message}" in str(error.value)
    assert "\n" not in str(error.value)
