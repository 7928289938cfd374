"""Checkpoints in OpenAI's layout: read from a file, architecture inferred, built in float32."""

import warnings
import zipfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import open_clip
import open_clip.model
import torch
from safetensors.torch import load, load_file
from torch import Tensor, nn

from promptmlr.backbone.packing import VOCABULARY_SIZE, is_packed, unpack
from promptmlr.errors import UserError
from promptmlr.names import checked_path

__all__ = ["build_open_clip_model", "build_openai_model", "build_random_model", "own_state_dict", "read_state_dict"]

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")  # entries of OpenAI's archives
COUNTERS = ("num_batches_tracked", "token_embedding.ids")  # integers among the weights


def own_state_dict(name: str | Path) -> tuple[str, dict[str, Tensor]] | None:
    """The weights of the miniature that comes with promptmlr, or of a checkpoint file.

    Returns:
        The name (for a file its full path) and its tensors in OpenAI's layout; None for a model of open_clip.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    if str(name) == "scenes":
        return "scenes", load(files("promptmlr.backbone").joinpath("scenes.safetensors").read_bytes())
    path = checked_path(name)
    if path.is_file():
        return str(path.resolve()), read_state_dict(path)
    if path.suffix in SUFFIXES:
        raise UserError(f"no checkpoint at {path}; give the path of an existing file")
    return None


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """All weights of a checkpoint file, read without running code of the file.

    `.safetensors`, `.pt` (read with `weights_only`; a dict, or one under "state_dict"), or the TorchScript archive
    that OpenAI publishes; keys with or without "module.".

    Raises:
        UserError: the file cannot be read as any of these.
    """
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
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"the checkpoint {path} holds no state dict (a mapping of names to tensors)")
    state = {str(key).removeprefix("module."): value for key, value in content.items()}
    return {key: value for key, value in state.items() if key not in NOT_WEIGHTS}


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
        state = _with_full_vocabulary(state)
        # cast_dtype is that of the norms, which could not be cast to another dtype later if it were float16.
        model = open_clip.model.build_model_from_openai_state_dict(dict(state), quick_gelu, cast_dtype=torch.float32)
        model.float()
        model.load_state_dict(state)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the checkpoint {source} is no CLIP in OpenAI's layout: {type(error).__name__} {reason}; for a file "
            "saved by open_clip name the architecture too: --backbone ViT-B-32 --pretrained FILE"
        ) from error
    built: nn.Module = model
    return built


def build_open_clip_model(name: str, state: Mapping[str, Tensor], source: str, quick_gelu: bool) -> nn.Module:
    """The model that open_clip calls `name`, with these weights.

    Args:
        name: a model of open_clip with regions; all of them are plain CLIPs.
        state: its tensors.
        source: their name in errors.
        quick_gelu: the activation.

    Raises:
        UserError: the tensors are not those of this model, or a weight is not finite.
    """
    model: nn.Module = open_clip.model.CLIP(**{**open_clip.get_model_config(name), "quick_gelu": quick_gelu})
    try:
        _check_numbers(state, source)
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the checkpoint {source} does not fit {name}: {reason}; name the model it was saved from"
        ) from error
    return model


def build_random_model(name: str) -> nn.Module:
    """The model that open_clip calls `name`, with QuickGELU as in OpenAI's, and random weights of a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = open_clip.model.CLIP(**{**open_clip.get_model_config(name), "quick_gelu": True})
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
    if path.suffix == ".safetensors":
        return load_file(path)
    if _is_torchscript(path):
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    return torch.load(path, map_location="cpu", weights_only=True)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
