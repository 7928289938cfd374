"""bench/gpu.py: it runs without a GPU, its FLOPs are right, and its hours follow from its seconds."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from device import WAIT, Budget, waits_noted
from gpu import head_flops
from projection import StackSeconds, projected, stacks_of

from promptmlr.backbone import load_backbone
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.paper.cost.measuring import image_flops
from promptmlr.recipes import load_recipe
from test_readme import ROOT

BENCH = ROOT / "bench"
NAMES = ("dog", "traffic light", "umbrella")
TRAINED = {name for name, row in METHOD_TABLE.items() if row.trained}


def ran(out: Path, *options: str) -> tuple[str, dict[str, object]]:
    command = [sys.executable, str(BENCH / "gpu.py"), "--device", "cpu", "--small", "--out", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(out.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_every_method_is_measured_and_the_hours_follow(tmp_path: Path) -> None:
    said, found = ran(tmp_path / "gpu.json")
    assert {row["method"] for row in found["steps"]} == TRAINED
    assert [row["batch"] for row in found["towers"]] == [2, 4]
    assert found["left_out"] == []
    assert "left out: nothing" in said
    row = next(row for row in found["steps"] if row["method"] == "dualembedding")
    epochs = [load_recipe("default", "dualembedding", observed=share).epochs for share in (0.1, 0.9)]
    seconds = sum(epochs) * 256 / 32 / row["steps_per_second"]
    assert found["tables"]["dualembedding beside it"]["training"] == pytest.approx(seconds / 3600)
    assert all(0 < row["share_of_floor"] < 1 for row in [*found["towers"], *found["steps"]])
    assert next(row for row in found["steps"] if row["method"] == "anchored")["begin_seconds"] > 0


@pytest.mark.slow
def test_what_had_no_time_is_said(tmp_path: Path) -> None:
    said, found = ran(tmp_path / "gpu.json", "--minutes", "0")
    assert found["towers"] == found["steps"] == []
    assert {case.split(",")[0] for case in found["left_out"]} >= TRAINED
    table = found["tables"]["the paper's table"]
    assert len(table["unmeasured"]) == 4 * 2 + 1
    assert "these hours leave out what was not measured: baseline at 10%" in said


@pytest.mark.parametrize("method", ["baseline", "dualembedding"])
def test_flops_of_maps_are_those_of_the_formula(scenes_backbone, method: str) -> None:
    recipe = load_recipe("default", method)
    recognizer = create_recognizer(method, scenes_backbone, NAMES, **recipe.start_options())
    batch, regions, width = 4, scenes_backbone.regions, scenes_backbone.feature_width
    maps = 2 * (2 * batch * regions * width * len(NAMES))  # of both sides
    gradients = maps  # of class vectors; regions have none
    assert head_flops(recognizer, recipe, torch.randn(batch, regions, width)) == maps + gradients


def test_flops_of_a_resnet_hold_the_convolutions_that_a_cpu_fuses(parity_checkpoint: Path) -> None:
    backbone = load_backbone(parity_checkpoint)
    tower, expected = backbone.image_tower(), []

    def note(layer: torch.nn.Conv2d, _inputs: object, output: torch.Tensor) -> None:
        expected.append(2 * output.numel() * layer.weight[0].numel())

    for layer in tower.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(note)
    with torch.no_grad():
        tower(torch.zeros(1, 3, backbone.image_size, backbone.image_size))
    assert len(expected) > 10
    assert sum(expected) < image_flops(backbone) < 2 * sum(expected)  # the attention pool comes on top


def test_time_that_a_part_leaves_the_next_one_has() -> None:
    now = [0.0]
    budget = Budget(100, clock=lambda: now[0])
    budget.part(0.2)
    now[0] = 10
    assert budget.has_time("first")
    budget.part(0.5)
    now[0] = 69
    assert budget.has_time("second")
    now[0] = 71
    assert not budget.has_time("third")
    assert budget.left_out == ["third"]


def test_waits_are_noted_with_their_place_and_other_warnings_pass() -> None:
    def work() -> list[str]:
        with waits_noted() as waits:
            warnings.warn(WAIT, stacklevel=1)
            warnings.warn("something else", stacklevel=1)
        return waits

    with pytest.warns(UserWarning, match="something else"):
        waits = work()
    assert [place.split(":")[0] for place in waits] == [__file__]


def test_hours_of_a_table_by_hand() -> None:
    (stack,) = stacks_of("positivecoop", (0.1, 0.5, 0.9))
    assert [recipe.class_specific for recipe in stack.recipes] == [False, True, True]
    assert len(stacks_of("anchored", (0.1, 0.5, 0.9))) == 3
    measured = {stack.shape: StackSeconds(step=2.0, scoring=3.0, beginning=1.0)}
    found = projected([stack], measured, images=33, test_images=10, images_per_second=5)
    assert found.training == pytest.approx((52 * 2 * 2.0 + 1.0) / 3600)
    assert found.scoring == pytest.approx(52 * 3.0 / 3600)
    assert (found.views_encoded, found.once_encoded) == (52 * 33 + 10, 33 + 10)
    assert found.views_tower == pytest.approx((52 * 33 + 10) / 5 / 3600)
