"""Several runs over the same batches are the runs one by one: no mask, rate, weight or start leaks between columns."""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from promptmlr import training
from promptmlr.labels import hide, keep_mask
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.recipes import Recipe
from promptmlr.regions import InMemoryRegions
from promptmlr.training import TrainingRun, fit, fit_runs

NAMES = ["dog", "traffic light", "umbrella"]
TRAINED = [name for name, row in METHOD_TABLE.items() if row.trained]
SEEDS = (0, 1, 2)


def recipe(index: int, epochs: int, **changes) -> Recipe:
    """Rates and loss weights of their own for every run."""
    values = {
        "start": "agnostic",
        "offset": "none",
        "context_length": 4,
        "context_rate": 0.001 * (1 + index),
        "embedding_rate": 0.02 * (1 + index),
        "linear_rate": 0.002 * (1 + index),
        "optimizer": "adam",
        "loss_weight": 1.0 + index,
        "batch_size": 8,
        "epochs": epochs,
    }
    return Recipe(**values | changes)


def data(dtype: torch.dtype, images: int = 40) -> tuple[InMemoryRegions, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = (rng.random((images, len(NAMES))) < 0.4).astype(np.int8)
    return InMemoryRegions(torch.from_numpy(rng.normal(size=(images, 5, 96))).to(dtype)), labels


def make_runs(backbone, method: str, epochs: int, dtype: torch.dtype, labels: np.ndarray) -> list[TrainingRun]:
    # In float32, Adam blows the rounding error of a vanishing gradient up to a whole step; plain descent does not.
    optimizer = "adam" if dtype == torch.float64 else "sgd"
    runs = []
    for index, seed in enumerate(SEEDS):
        start = ("agnostic", "text", "random")[index]
        name, *shared = method.split()
        options = {"context_length": 4, "start": start, "seed": seed, "class_specific": not shared}
        recognizer = create_recognizer(name, backbone, NAMES, **options).to(dtype)
        hidden = hide(labels, keep_mask(labels.shape, 0.3 + 0.2 * index, seed))
        runs.append(TrainingRun(recognizer, hidden, recipe(index, epochs, optimizer=optimizer)))
    return runs


def tensors(runs: list[TrainingRun]) -> list[dict[str, torch.Tensor]]:
    return [{name: value.detach().clone() for name, value in run.recognizer.state_dict().items()} for run in runs]


def one_by_one(runs: list[TrainingRun], source: InMemoryRegions) -> tuple[list[dict[str, torch.Tensor]], np.ndarray]:
    curves = []
    for run in runs:
        curve: list[float] = []
        fit(run.recognizer, source, run.labels, run.recipe, on_epoch=lambda report, _, c=curve: c.append(report.loss))
        curves.append(curve)
    return tensors(runs), np.array(curves).T


def together(runs: list[TrainingRun], source: InMemoryRegions) -> tuple[list[dict[str, torch.Tensor]], np.ndarray]:
    curves: list[list[float]] = []
    fit_runs(runs, source, on_epoch=lambda reports: curves.append([report.loss for report in reports]))
    return tensors(runs), np.array(curves)


@pytest.fixture(scope="module")
def alone(tiny_backbone) -> Callable[..., Any]:
    """A backbone, and what `one_by_one` makes of its runs: trained once for both ways to go side by side."""

    @cache
    def trained(method: str, epochs: int, dtype: torch.dtype):
        backbone = copy.deepcopy(tiny_backbone)
        backbone._model.to(dtype)
        source, labels = data(dtype)
        return backbone, *one_by_one(make_runs(backbone, method, epochs, dtype, labels), source)

    return trained


@pytest.mark.parametrize("in_cache", [2**22, 1], ids=["side by side", "one after the other"])
@pytest.mark.parametrize("method", [*TRAINED, "dualcoop shared"])
@pytest.mark.parametrize(("dtype", "epochs", "tolerance"), [(torch.float64, 10, 1e-9), (torch.float32, 4, 1e-5)])
def test_together_is_one_by_one(alone, monkeypatch, method, dtype, epochs, tolerance, in_cache) -> None:
    """50 steps in float64, 20 in float32."""
    backbone, expected, curves = alone(method, epochs, dtype)
    monkeypatch.setattr(training, "MAPS_IN_CACHE", in_cache)
    source, labels = data(dtype)
    joint, joint_curves = together(make_runs(backbone, method, epochs, dtype, labels), source)
    for one, other in zip(expected, joint, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            atol = tolerance * float(one[name].abs().max())
            torch.testing.assert_close(other[name], one[name], rtol=0, atol=atol)
    np.testing.assert_allclose(joint_curves, curves, rtol=10 * tolerance)


@pytest.mark.parametrize("method", ["positivecoop", "baseline"])
@pytest.mark.parametrize("changed", ["labels", "rate", "weight"])
def test_what_changes_in_one_run_stays_in_it(tiny_backbone, method: str, changed: str) -> None:
    source, labels = data(torch.float32)
    before, _ = together(make_runs(tiny_backbone, method, 2, torch.float32, labels), source)
    runs = make_runs(tiny_backbone, method, 2, torch.float32, labels)
    if changed == "labels":
        runs[1].labels[0, 0] = 1 - labels[0, 0]
    elif changed == "rate":
        runs[1].recipe = recipe(1, 2, context_rate=0.03, linear_rate=0.01, optimizer="sgd")
    else:
        runs[1].recipe = recipe(1, 2, loss_weight=7.0, optimizer="sgd")
    after, _ = together(runs, source)
    same = [all(torch.equal(one[name], other[name]) for name in one) for one, other in zip(before, after, strict=True)]
    assert same == [True, False, True]


def test_interrupted_runs_go_on_together(tiny_backbone) -> None:
    source, labels = data(torch.float32)
    whole, _ = together(make_runs(tiny_backbone, "positivecoop", 4, torch.float32, labels), source)
    runs = make_runs(tiny_backbone, "positivecoop", 4, torch.float32, labels)

    def stop(reports) -> None:
        if reports[0].epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_runs(runs, source, on_epoch=stop)
    fresh = make_runs(tiny_backbone, "positivecoop", 4, torch.float32, labels)
    for run, stopped in zip(fresh, runs, strict=True):
        run.state = copy.deepcopy(stopped.state)
    resumed, _ = together(fresh, source)
    for one, other in zip(whole, resumed, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_each_run_keeps_its_own_best_epoch(tiny_backbone) -> None:
    source, labels = data(torch.float32)
    runs = make_runs(tiny_backbone, "positivecoop", 3, torch.float32, labels)
    scores = iter([[0.1, 0.9, 0.2], [0.3, 0.5, 0.2], [0.2, 0.7, 0.8]])
    seen, asked = [], []

    def score(folded) -> list[float]:
        asked.append([one.presence.embedding.shape for one in folded])
        return next(scores)

    fit_runs(
        runs, source, score=score, on_epoch=lambda reports: seen.append((tensors(runs), [r.score for r in reports]))
    )
    assert [found for _, found in seen] == [[0.1, 0.9, 0.2], [0.3, 0.5, 0.2], [0.2, 0.7, 0.8]]
    assert asked == [[(3, 96)] * 3] * 3
    assert [run.state.best_epoch for run in runs] == [2, 1, 3]
    for index, (run, best) in enumerate(zip(tensors(runs), (1, 0, 2), strict=True)):
        assert all(torch.equal(value, seen[best][0][index][name]) for name, value in run.items())


@pytest.mark.parametrize("changes", [{"batch_size": 4}, {"epochs": 3}])
def test_runs_that_do_not_fit_together_are_refused(tiny_backbone, changes: dict[str, int]) -> None:
    source, labels = data(torch.float32)
    runs = make_runs(tiny_backbone, "baseline", 2, torch.float32, labels)
    runs[1].recipe = recipe(1, **{"epochs": 2, **changes})
    with pytest.raises(ValueError, match="one method, loss, batch size, number of epochs"):
        fit_runs(runs, source)
