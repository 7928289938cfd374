"""What tests share: the folder beside the project, and checkpoints of random weights in real formats."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import settings
from safetensors.torch import save_file

from promptmlr.backbone import Backbone, load_backbone
from promptmlr.run import Run, load_run
from promptmlr.run import state as run_state
from support import require_shared, scenes_run

torch.set_num_threads(1)  # the tensors here are small: a second thread would only be waited for

settings.register_profile("unhurried", settings.default, deadline=None)  # on a busy machine any example may take long
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def _as_everywhere(tmp_path_factory) -> Iterator[None]:
    """No test writes into the cache of whoever runs it; an interruption finds the same epochs however fast it runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTMLR_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(run_state, "SECONDS_BETWEEN", 0.0)
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden loss curves instead of comparing")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: a long one that begins last is waited for by all other processes."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


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


def _random_weights(shapes: dict[str, torch.Size], seed: int) -> dict[str, torch.Tensor]:
    """Random weights of unit-size activations under the keys of a CLIP; batch norms have seen something."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in sorted(shapes.items()):
        noise = torch.randn(shape, generator=generator)
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
        elif key == "logit_scale":
            state[key] = torch.tensor(4.6)
        elif key.endswith("running_var"):
            state[key] = 1 + noise.abs() / 4
        elif key.endswith(("positional_embedding", "class_embedding")) or key == "token_embedding.weight":
            state[key] = noise / 3
        elif key.endswith(("text_projection", "visual.proj")):
            state[key] = noise / shape[0] ** 0.5
        elif len(shape) > 1:
            state[key] = noise / shape[1:].numel() ** 0.5
        else:
            state[key] = noise / 10 + (1 if key.endswith("weight") else 0)
    return state


def _tiny_clip(vision: dict[str, object], seed: int) -> dict[str, torch.Tensor]:
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
    with torch.device("meta"):
        model = open_clip.model.CLIP(96, vision_cfg=vision, text_cfg=text)
    return _random_weights({key: value.shape for key, value in model.state_dict().items()}, seed)


@pytest.fixture(scope="session")
def tiny_resnet() -> dict[str, torch.Tensor]:
    """A CLIP ResNet of random weights in OpenAI's layout: 64 px native (2 × 2 regions + 1), D = 96, W = 64."""
    return _tiny_clip({"layers": [1, 1, 1, 1], "width": 8, "image_size": 64, "patch_size": None}, seed=1)


@pytest.fixture(scope="session")
def tiny_vit() -> dict[str, torch.Tensor]:
    """A CLIP ViT of random weights in OpenAI's layout: 48 px native in patches of 16 (3 × 3 + 1), D = 96, W = 64."""
    return _tiny_clip({"layers": 2, "width": 64, "image_size": 48, "patch_size": 16}, seed=2)


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_resnet, tmp_path_factory) -> Path:
    """`tiny_resnet` as a `.safetensors` file."""
    path = tmp_path_factory.mktemp("tiny") / "clip.safetensors"
    save_file(tiny_resnet, path)
    return path


@pytest.fixture(scope="session")
def tiny_backbone(tiny_checkpoint) -> Backbone:
    """`tiny_resnet`, loaded."""
    return load_backbone(tiny_checkpoint)


@pytest.fixture(scope="session")
def scenes_backbone() -> Backbone:
    """The miniature CLIP that comes with promptmlr: the only one here whose texts mean something."""
    return load_backbone("scenes")


@pytest.fixture(scope="session")
def run_folders(scenes_backbone, tmp_path_factory) -> list[Path]:
    """Two runs of the drawn world's classes on a few scenes, a dual embedding and a baseline. Change copies alone."""
    folder = tmp_path_factory.mktemp("runs")
    methods = {"first": "dualembedding", "second": "baseline"}
    return [scenes_run(folder / name, method, backbone=scenes_backbone) for name, method in methods.items()]


@pytest.fixture(scope="session")
def loaded(run_folders) -> list[Run]:
    """The two of `run_folders`."""
    return [load_run(path) for path in run_folders]


@pytest.fixture(scope="session")
def bench_towers() -> ModuleType:
    """`bench/towers.py`, which has stand-ins for tokenizers that lie on the Hugging Face Hub."""
    spec = importlib.util.spec_from_file_location(
        "bench_towers", Path(__file__).resolve().parents[1] / "bench" / "towers.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
