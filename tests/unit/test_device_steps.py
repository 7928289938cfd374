"""A step on a GPU, told without one: fake tensors say which operators run and what is copied where."""

import numpy as np
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from promptmlr import training
from promptmlr.backbone import Backbone
from promptmlr.backbone.checkpoint import build_openai_model
from promptmlr.backbone.text import text_tower
from promptmlr.exact import exact_dtype
from promptmlr.functional import asymmetric_cost
from promptmlr.maps import agreement
from promptmlr.maps.agreement import map_agreement
from promptmlr.methods import create_recognizer
from promptmlr.paper.grid import scoring
from promptmlr.paper.grid.scoring import displacement
from promptmlr.recipes import load_recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import InMemoryRegions
from promptmlr.sides import EmbeddingSide, LinearSide, PromptSide
from promptmlr.training import Prior, fit

NAMES = ("dog", "traffic light", "umbrella")
WAITING = ("aten._local_scalar_dense", "aten.nonzero", "aten.item", "aten.masked_select")


class Transfers(TorchDispatchMode):
    """Notes whatever makes the host wait: values read from the device, and blocking copies to it or from it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.copies = 0

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = str(function)
        tensors = [arg for arg in (*args, result) if isinstance(arg, torch.Tensor)]
        moved = "copy" in name and len({tensor.device.type for tensor in tensors}) > 1
        self.copies += moved
        if name.startswith(WAITING) or (moved and not (kwargs or {}).get("non_blocking", False)):
            self.waits.append(name)
        return result


def on_gpu(module: torch.nn.Module) -> torch.nn.Module:
    """The module with fake tensors of a GPU in the place of its own."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            fake = torch.empty(parameter.shape, device="cuda")
            setattr(part, name, torch.nn.Parameter(fake, parameter.requires_grad))
        for name, buffer in part.named_buffers(recurse=False):
            setattr(part, name, torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda"))
    return module


@pytest.mark.parametrize("specific", [True, False])
def test_a_step_on_a_gpu_copies_indices_and_waits_for_nothing(tiny_resnet, specific: bool) -> None:
    model = build_openai_model(dict(tiny_resnet), "tiny", True).eval().requires_grad_(False)
    text = text_tower(model, SimpleTokenizer())
    context = torch.empty((len(NAMES), 4, text.width) if specific else (4, text.width))
    prompt = PromptSide(text, NAMES, context, torch.empty(len(NAMES), text.feature_width))
    embedding = EmbeddingSide(torch.empty(len(NAMES), text.feature_width))
    linear = LinearSide(torch.empty(len(NAMES), text.feature_width), torch.empty(len(NAMES)))
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_gpu(model)
        labels = torch.zeros(8, len(NAMES), dtype=torch.int8, device="cuda")
        source = InMemoryRegions(torch.empty(8, 5, text.feature_width, device="cuda", dtype=torch.float16))
        for other in (embedding, linear, prompt):
            recognizer = on_gpu(Recognizer(prompt, other, NAMES))
            with Transfers() as seen:
                (indices, regions), *_ = source.batches([np.arange(4)])
                rows = torch.from_numpy(indices).to(regions.device, non_blocking=True)
                cost = asymmetric_cost(recognizer(regions), labels[rows]).sum()
            assert cost.device.type == "cuda"
            assert (seen.waits, seen.copies) == ([], 2)


def test_a_blocking_copy_would_be_seen() -> None:
    with FakeTensorMode(allow_non_fake_inputs=True), Transfers() as seen:
        torch.from_numpy(np.arange(3)).to("cuda")
    assert seen.waits == ["aten._to_copy.default"]


class Doubles(TorchDispatchMode):
    """Notes which operators give float64."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        of_numpy = str(function) == "aten.lift_fresh.default"  # on the CPU, wherever it goes from there
        if isinstance(result, torch.Tensor) and result.dtype == torch.float64 and not of_numpy:
            self.found.append(str(function))
        return result


def trained(backbone: Backbone) -> None:
    """A run with a prior, and one without."""
    regions = torch.randn(8, 5, backbone.feature_width)
    labels = np.resize(np.array([1, 0, -1], dtype=np.int8), (8, len(NAMES)))
    for method in ("anchored", "positivecoop"):
        recipe = load_recipe("default", method, epochs=1, batch_size=4)
        recognizer = create_recognizer(method, backbone, NAMES, **recipe.start_options())
        prior = Prior.of(recognizer, torch.ones(len(NAMES))) if method == "anchored" else None
        fit(recognizer, InMemoryRegions(regions), labels, recipe, prior=prior)


def compared(backbone: Backbone) -> None:
    sides = [EmbeddingSide(torch.randn(len(NAMES), backbone.feature_width)) for _ in range(4)]
    start, end = Recognizer(*sides[:2], NAMES), Recognizer(*sides[2:], NAMES)
    displacement(start, end, torch.randn(2, 5, backbone.feature_width))


def agreed(_: Backbone) -> None:
    map_agreement(torch.randn(2, 3, 17), torch.randn(2, 3, 17), 0.2)


@pytest.mark.parametrize("work", [trained, compared, agreed])
def test_no_float64_is_made_where_a_device_has_none(scenes_backbone, monkeypatch, work) -> None:
    """Apple's GPUs refuse to make one. None is here, so the CPU is told to be one."""
    with Doubles() as seen:
        work(scenes_backbone)
    assert seen.found  # on other devices sums are exact
    for room in (training, scoring, agreement):
        monkeypatch.setattr(room, "exact_dtype", lambda _: exact_dtype(torch.device("mps")))
    with Doubles() as seen:
        work(scenes_backbone)
    assert seen.found == []
