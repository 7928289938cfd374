"""Checkpoints in OpenAI's layout: read from a file, architecture inferred, built in float32."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import open_clip.model
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from promptmlr.errors import UserError

__all__ = ["build_openai_model", "read_state_dict"]

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint file; nothing of the file is executed.

    `.safetensors`, `.pt` (read with `weights_only`; a dict, or one under "state_dict", keys with or without
    "module."), or the TorchScript archive that OpenAI publishes.

    Raises:
        UserError: the file cannot be read as any of these.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if _is_torchscript(path):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"cannot read the checkpoint {path}: {reason}; give a whole {', '.join(SUFFIXES)} file of tensors"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"the checkpoint {path} holds no state dict (a mapping of names to tensors)")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def build_openai_model(state: Mapping[str, Tensor], source: str, quick_gelu: bool = True) -> nn.Module:
    """The CLIP whose tensors these are; layers and widths are inferred from their shapes.

    open_clip's builder rounds the weights to half precision, so they are loaded once more after it.

    Args:
        state: tensors under the names of OpenAI's CLIP.
        source: what to call it in an error.
        quick_gelu: the activation; OpenAI's weights need QuickGELU, and the names cannot tell.

    Raises:
        UserError: keys or shapes are not those of a CLIP in OpenAI's layout.
    """
    state = {
        key: value for key, value in state.items() if key not in ("input_resolution", "context_length", "vocab_size")
    }
    try:
        model = open_clip.model.build_model_from_openai_state_dict(dict(state), quick_gelu=quick_gelu)
        model.float()
        model.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        )
    except (KeyError, RuntimeError, AssertionError, IndexError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the checkpoint {source} is no CLIP in OpenAI's layout: {type(error).__name__} {reason}; for a file "
            "saved by open_clip name the architecture too: --backbone ViT-B-32 --pretrained FILE"
        ) from error
    built: nn.Module = model
    return built


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
