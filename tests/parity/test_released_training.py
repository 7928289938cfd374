"""24 steps of each method through `promptmlr train --recipe released`, against the released training.

Both begin with the same tensors, see the same labels, and take images in the same order without augmentation.
`README.md` in this folder says how the facts in `released_training.npz` were made.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

import released_world
from promptmlr import training
from promptmlr.augmentation import Augmentation
from promptmlr.cli import main
from promptmlr.data import load_data
from promptmlr.evaluation import average_precision
from promptmlr.paper.grid.results import GridResults
from promptmlr.paper.grid.scoring import score_folds
from promptmlr.pipeline import running

FACTS = np.load(Path(__file__).with_name("released_training.npz"))
CASES = sorted({key.split("/")[0] for key in FACTS.files} - {"drawn"})
STEPS, EPOCHS = (1, 6, 12, 24), 6
OF_WHAT_MOVED = 1.1e-4


@dataclass
class Followed:
    """What training said and did, step by step, and the scores of its end."""

    losses: list[float] = field(default_factory=list)
    rates: list[dict[str, float]] = field(default_factory=list)
    tensors: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    aps: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    metrics: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    root: Path = tmp_path_factory.mktemp("released") / "coco"
    released_world.write_tree(root)
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("released") / "clip.safetensors"
    save_file(released_world.weights(), path)
    return path


def command(*arguments: object) -> None:
    """Run `promptmlr ARGUMENTS…`, which has to succeed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["promptmlr", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
    assert not left.value.code


def followed(patch: pytest.MonkeyPatch, order: Sequence[NDArray[np.intp]]) -> Followed:
    """Begin where the released training began, take images in its order, and note every step."""
    found, build, step = Followed(), running.build, training._Stack.step

    def in_order(count: int, batch_size: int, _seed: int, epoch: int, _shards: object) -> list[NDArray[np.intp]]:
        return np.split(order[epoch], range(batch_size, count, batch_size))

    def begun(*arguments: Any) -> torch.nn.Module:
        recognizer = build(*arguments)
        with torch.no_grad():
            for name, tensor in recognizer.named_parameters():
                tensor.copy_(torch.from_numpy(released_world.start(name, tuple(tensor.shape))))
        return recognizer

    def noted(self: training._Stack, *arguments: Any) -> None:
        before, [member] = float(self.total.sum()), self.members
        step(self, *arguments)
        found.losses.append(float(self.total.sum()) - before)
        found.rates.append(member.rates())
        found.tensors[len(found.losses)] = training._copies(member.parameters)

    patch.setattr(training, "epoch_order", in_order)
    patch.setattr(running, "build", begun)
    patch.setattr(training._Stack, "step", noted)
    patch.setattr(Augmentation, "__call__", lambda _self, image, *_view: image)
    return found


def trained(case: str, tree: Path, checkpoint: Path, out: Path, *options: object) -> Followed:
    """`promptmlr train` and `promptmlr evaluate`, as the case says."""
    method, context = case.split("-")
    place = {int(name): row for row, name in enumerate(load_data(str(tree), "train").image_ids)}
    order = [np.array([place[number] for number in epoch]) for epoch in FACTS[f"{case}/order"].tolist()]
    tower = "--backbone", checkpoint, "--image-size", 96, "--dtype", "float32", "--workers", 0, "--no-cache"
    shared = ["--shared-context"] if context == "shared" else []
    asked = "--method", method, "--recipe", "released", "--epochs", EPOCHS, *shared, *options
    with pytest.MonkeyPatch.context() as patch:
        found = followed(patch, order)
        labels = "--mask", tree / released_world.MASK, "--no-calibrate"
        command("train", tree, "--out", out, *asked, *labels, *tower)
    command("evaluate", out, tree, "--workers", 0, "--no-cache")
    scores = json.loads((out / "evaluation.json").read_text())["per_class_ap"].values()
    found.aps = np.array(list(scores), np.float64)  # None is NaN
    found.metrics = json.loads((out / "metrics.json").read_text())
    return found


@pytest.fixture(scope="module", params=CASES)
def pair(request, tree: Path, checkpoint: Path, tmp_path_factory) -> tuple[Followed, dict[str, NDArray[Any]]]:
    """Our training, and the facts of the released one."""
    prefix = f"{request.param}/"
    facts = {key.removeprefix(prefix): FACTS[key] for key in FACTS.files if key.startswith(prefix)}
    return trained(request.param, tree, checkpoint, tmp_path_factory.mktemp("run") / "run"), facts


def test_the_beginnings_are_those_of_the_facts(tree: Path) -> None:
    """Else NumPy draws other numbers than it did, and the facts have to be made again."""
    assert released_world.checksums(tree) == {
        key.removeprefix("drawn/"): int(FACTS[key]) for key in FACTS.files if key.startswith("drawn/")
    }


def test_rates_and_losses(pair) -> None:
    found, facts = pair
    ours = np.array([[rates[name] for name in facts["names"]] for rates in found.rates])
    np.testing.assert_allclose(ours, facts["rate"], rtol=1e-14)  # theirs is a recursion, and rounds in every epoch
    np.testing.assert_allclose(found.losses, facts["loss"], rtol=1e-5)


@pytest.mark.parametrize("step", STEPS)
def test_learned_tensors(pair, step: int) -> None:
    """Compared with how far a tensor has moved; an entry may differ in its last bit as well."""
    found, facts = pair
    assert set(found.tensors[step]) == set(facts["names"])
    for name, tensor in found.tensors[step].items():
        start, ours = released_world.start(name, tuple(tensor.shape)), tensor.numpy()
        assert np.linalg.norm(start.astype(np.float64)) == pytest.approx(facts[f"{name}/start"], rel=1e-12)
        moved = np.linalg.norm(ours.astype(np.float64) - start)
        assert moved == pytest.approx(facts[f"{name}/{step}/moved"], rel=OF_WHAT_MOVED), name
        theirs = facts[f"{name}/{step}/entries"]
        places = np.linspace(0, ours.size - 1, len(theirs)).astype(int)
        difference = np.abs(ours.ravel()[places] - theirs) - np.spacing(np.abs(theirs))
        by_entry = OF_WHAT_MOVED * np.linalg.norm(theirs - start.ravel()[places])
        assert np.linalg.norm(difference.clip(0)) < by_entry, name


def reachable_aps(scores: NDArray[np.float32], labels: NDArray[np.int8]) -> Iterator[NDArray[np.float64]]:
    """(C,) the lowest and the highest AP of scores that are these but for rounding: the released code splits ties."""
    exact = scores.astype(np.float64)
    rounding = 2e-4 * exact * (1 - exact) + 1.5 * np.spacing(scores)
    for sign in (-1, 1):
        moved = exact + sign * rounding * labels
        yield np.array([average_precision(*columns) for columns in zip(moved.T, labels.T, strict=True)])


def test_average_precision(pair, tree: Path) -> None:
    """In the released code's own order of its scores, but for those that rounding can exchange."""
    found, facts = pair
    low, high = reachable_aps(facts["probability"], labels_of(tree, facts["tested"]))
    shown = ~np.isnan(low)
    assert (found.aps[shown] > low[shown] - 1e-9).all()
    assert (found.aps[shown] < high[shown] + 1e-9).all()
    sure = shown & (low == high)
    assert sure.sum() >= 20
    np.testing.assert_allclose(found.aps[sure], facts["ap"][sure], atol=1e-7)  # theirs adds 1e-8 to a divisor
    assert np.isnan(found.aps[~shown]).all()
    assert (facts["ap"][~shown] == 0).all()
    assert (~shown).sum() == released_world.EMPTY


def labels_of(tree: Path, numbers: NDArray[np.int32]) -> NDArray[np.int8]:
    """(N, C) labels of test images, by their numbers."""
    test = load_data(str(tree), "test")
    rows = {int(name): row for row, name in enumerate(test.image_ids)}
    return test.labels[[rows[number] for number in numbers.tolist()]]


def test_the_epoch_that_is_best_on_test_images(tree: Path, checkpoint: Path, tmp_path: Path) -> None:
    case = "dualcoop-shared"
    by_epoch = FACTS[f"{case}/mean_ap"][:EPOCHS]
    found = trained(case, tree, checkpoint, tmp_path / "run", "--select", "test")
    assert found.metrics["epoch"] == 1 + int(by_epoch.argmax()) == 5


@pytest.mark.parametrize("case", CASES)
def test_the_released_count_of_empty_classes(case: str, tree: Path) -> None:
    """The released scores, counted by `reproduce --empty-classes zero`."""
    facts = {name: FACTS[f"{case}/{name}"] for name in ("probability", "tested", "mean_ap", "cf1", "of1")}
    scores, labels = facts["probability"], labels_of(tree, facts["tested"])
    found, resampled = score_folds([scores], [labels], (0.0, 0.0))
    cell = (1, 1, 1, -1)
    others = {name: np.reshape(getattr(found, name), cell[:3]) for name in ("cf1", "of1")}
    left_out = GridResults([case], [0.5], np.reshape(found.mean_ap, cell[:3]), resampled.reshape(cell), [[1]], others)
    counted = left_out.with_empty_as_zero(float(labels.any(axis=0).mean())).record(case, 0.5)
    low, high = (np.nan_to_num(aps).mean() for aps in reachable_aps(scores, labels))
    assert low - 1e-8 < counted["mean_ap"] < high + 1e-8
    assert low - 1e-8 < facts["mean_ap"][EPOCHS - 1] < high + 1e-8
    if case in ("baseline-csc", "dualcoop-csc", "dualcoop-shared"):  # no scores are tied in these
        assert counted["mean_ap"] == pytest.approx(facts["mean_ap"][EPOCHS - 1], abs=1e-8)
    assert counted["cf1"] == pytest.approx(facts["cf1"], abs=1e-8)
    assert counted["of1"] == pytest.approx(np.nan_to_num(facts["of1"]), abs=1e-7)  # theirs is 0 / 0 without a decision
