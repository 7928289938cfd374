"""Checkpoints: read from files, in the layouts that people have, and never loaded in part."""

import json
import warnings
import zipfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import open_clip
import open_clip.model
import torch
from open_clip.convert import convert_state_dict
from safetensors.torch import load, load_file
from torch import Tensor, nn

from promptmlr.backbone.architecture import looks_like, name_like
from promptmlr.backbone.building import build_model
from promptmlr.backbone.catalogue import MINIATURES
from promptmlr.backbone.layouts import as_named_in, in_plain_layout, misfits, without_prefixes
from promptmlr.backbone.packing import VOCABULARY_SIZE, is_packed, unpack
from promptmlr.errors import UserError
from promptmlr.names import checked_path

__all__ = [
    "activation_beside",
    "build_open_clip_model",
    "build_openai_model",
    "checkpoint_in",
    "own_state_dict",
    "read_state_dict",
]

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".safetensors.index.json")
COUNTERS = ("num_batches_tracked", "token_embedding.ids")  # integers among the weights
_scalar = np.float64(0).__reduce__()[0]  # what builds a number of NumPy's from its bytes
INSIDE = ("state_dict", "model_state_dict", "model")  # where training scripts keep weights in a larger dictionary
IN_FOLDERS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
)
"""Files that hold the weights of a folder, the first that is there: open_clip's and Hugging Face's."""


def checkpoint_in(path: Path) -> Path:
    """The file that holds the weights of a folder; a file is itself.

    Raises:
        UserError: there is none.
    """
    if not path.is_dir():
        return path
    found = next((path / name for name in IN_FOLDERS if (path / name).is_file()), None)
    if found is None:
        raise UserError(f"the folder {path} holds no weights; they are looked for as {', '.join(IN_FOLDERS)}")
    return found


def own_state_dict(name: str | Path) -> tuple[str, dict[str, Tensor]] | None:
    """The weights of a miniature that comes with promptmlr, or of a checkpoint file.

    Returns:
        The name (for a file its full path) and its tensors in OpenAI's layout; None for a model of open_clip.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    if str(name) in MINIATURES:
        return str(name), load(files("promptmlr.backbone").joinpath(f"{name}.safetensors").read_bytes())
    path = checked_path(name)
    if path.is_file():
        return str(path.resolve()), read_state_dict(path)
    if path.name.endswith(SUFFIXES):
        raise UserError(f"no checkpoint at {path}; give the path of an existing file")
    return None


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """All weights of a checkpoint, read without running code of the file.

    `.safetensors`, an index of several, `.pt` (read with `weights_only`; a dict, or one under "state_dict" or "model"),
    or the TorchScript archive that OpenAI publishes; keys with or without what wrappers put before all of them.

    Args:
        path: of the file, or of a folder of open_clip's or Hugging Face's.

    Raises:
        UserError: the file cannot be read as any of these.
    """
    path = checkpoint_in(path)
    try:
        # torch warns about TorchScript and damaged headers; the errors below say what the user can do.
        with warnings.catch_warnings(action="ignore"):
            content = _read(path)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes make readers raise anything, from BadZipFile to struct.error
        # for pickles torch's message explains how to load them unsafely
        first = (str(error).splitlines() or [type(error).__name__])[0]
        reason = "not a file of tensors alone" if isinstance(error, UnpicklingError) else first
        raise UserError(
            f"cannot read the checkpoint {path}: {reason}; give a whole {', '.join(SUFFIXES)} file of tensors"
        ) from error
    while isinstance(content, Mapping):
        inside = next((content[key] for key in INSIDE if isinstance(content.get(key), Mapping)), None)
        if inside is None:
            break
        content = inside
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"the checkpoint {path} holds no state dict (a mapping of names to tensors)")
    return without_prefixes({str(key): value for key, value in content.items()})


def activation_beside(source: str) -> bool:
    """Whether a bare file is for QuickGELU: as OpenAI's are, where a `config.json` beside it does not deny it."""
    path = Path(source).parent / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8")) if Path(source).is_file() else {}
    except (OSError, ValueError):
        return True
    named = config.get("vision_config") if isinstance(config, dict) and config.get("model_type") == "clip" else None
    return not isinstance(named, dict) or named.get("hidden_act", "quick_gelu") == "quick_gelu"


def build_openai_model(state: Mapping[str, Tensor], source: str, quick_gelu: bool = True) -> nn.Module:
    """A CLIP with these tensors; layers and widths are inferred from their shapes.

    open_clip's builder rounds the weights to half precision, so they are loaded once more after it.

    Args:
        state: tensors under the names of OpenAI's CLIP, packed or not.
        source: its name in errors.
        quick_gelu: the activation; OpenAI's weights need QuickGELU, which tensor names do not show.

    Raises:
        UserError: keys or shapes are not those of a CLIP in OpenAI's layout, or a weight is not finite.
    """
    try:
        _check_numbers(state, source)
        state = _with_full_vocabulary(in_plain_layout(state))
        bias = state.pop("logit_bias", None)
        # cast_dtype is that of the norms, which could not be cast to another dtype later if it were float16.
        model = open_clip.model.build_model_from_openai_state_dict(dict(state), quick_gelu, cast_dtype=torch.float32)
        model.float()
        model.load_state_dict(state)
        model.logit_bias = None if bias is None else nn.Parameter(bias.float())
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the checkpoint {source} is no CLIP in OpenAI's layout: {type(error).__name__} {reason}; it looks like "
            f"{looks_like(state)}; for a file saved by open_clip name the architecture too: --backbone "
            f"{name_like(state) or 'ViT-B-32'} --pretrained FILE"
        ) from error
    built: nn.Module = model
    return built


def build_open_clip_model(
    name: str, config: dict[str, Any], state: Mapping[str, Tensor], source: str, quick_gelu: bool
) -> nn.Module:
    """The model of a configuration, with these weights.

    Args:
        name: of the model, for errors.
        config: its configuration, as open_clip writes it.
        state: its tensors, in open_clip's layout, OpenAI's, or Hugging Face's `CLIPModel` or `SiglipModel`.
        source: their name in errors.
        quick_gelu: the activation.

    Raises:
        UserError: the tensors are not those of this model, or a weight is not finite.
    """
    _check_numbers(state, source)
    model = build_model(config, quick_gelu, with_bias="logit_bias" in state)
    named = as_named_in(model, convert_state_dict(model, dict(state)))
    wrong = misfits(model, named)
    if wrong is not None:
        raise UserError(
            f"the checkpoint {source} does not fit {name}: {wrong}; it looks like {looks_like(state)}; name the model "
            "it was saved from"
        )
    model.load_state_dict(named, strict=False)  # counters of batch norms alone may be missing
    return model


def _check_numbers(state: Mapping[str, Tensor], source: str) -> None:
    for key, value in state.items():
        if key.endswith(COUNTERS):
            continue
        if not value.is_floating_point():
            raise UserError(f"the checkpoint {source} holds {key} as {value.dtype}; weights must be floating-point")
        if not torch.stack(value.float().aminmax()).isfinite().all():  # thirty times faster than a check per element
            raise UserError(f"the checkpoint {source} holds NaN or infinity in {key}; get the file again")


def _with_full_vocabulary(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    state = unpack(dict(state)) if is_packed(state) else dict(state)
    rows = len(state["token_embedding.weight"])
    if rows != VOCABULARY_SIZE:
        raise ValueError(f"its token table has {rows} rows instead of {VOCABULARY_SIZE}")
    return state


def _read(path: Path) -> Any:
    if path.name.endswith(".index.json"):
        parts = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
        return {key: value for part in parts for key, value in load_file(path.parent / Path(part).name).items()}
    if path.suffix == ".safetensors":
        return load_file(path)
    if _is_torchscript(path):
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    numbers: list[Any] = [np.dtype, type(np.dtype("f8")), type(np.dtype("f4")), type(np.dtype("i8")), _scalar]
    with torch.serialization.safe_globals(numbers):  # scores that training scripts keep beside weights
        return torch.load(path, map_location="cpu", weights_only=True)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
