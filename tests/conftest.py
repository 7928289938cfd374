"""What tests share: the folder beside the project, and checkpoints of random weights in real formats."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

SHARED = Path(__file__).resolve().parents[2] / "shared"


def require_shared(*parts: str) -> Path:
    """A path below ../shared, or a skip that says so."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"../shared/{'/'.join(parts)} is not beside the project")
    return path


@pytest.fixture(scope="session")
def parity_state() -> Callable[[int], dict[str, torch.Tensor]]:
    """Seed → the tensors of the parity checkpoint: a small CLIP in OpenAI's layout, random weights."""
    folder = require_shared("parity")
    spec = importlib.util.spec_from_file_location("parity_weights", folder / "weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shapes = json.loads((folder / "fixtures" / "shapes.json").read_text())

    def state(seed: int) -> dict[str, torch.Tensor]:
        return {key: torch.from_numpy(np.array(value)) for key, value in module.state_dict(shapes, seed).items()}

    return state


@pytest.fixture(scope="session")
def parity_checkpoint(parity_state, tmp_path_factory) -> Path:
    """The parity checkpoint of seed 20 as a `.safetensors` file."""
    path = tmp_path_factory.mktemp("parity") / "clip.safetensors"
    save_file(parity_state(20), path)
    return path
