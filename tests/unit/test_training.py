"""`fit`: rates, the loss it reports, resuming, selecting, and curves that must not change unnoticed."""

import copy
import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from promptmlr.functional import asymmetric_loss
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import InMemoryRegions
from promptmlr.sides import EmbeddingSide, LinearSide
from promptmlr.training import TrainingState, epoch_order, fit, rate_factor

NAMES = ["dog", "traffic light", "umbrella"]
TRAINED = [name for name, row in METHOD_TABLE.items() if row.trained]
GOLDEN = Path(__file__).parents[1] / "golden" / "losses.txt"


def toy(images: int = 48, seed: int = 0) -> tuple[InMemoryRegions, np.ndarray]:
    """Regions (N, 5, 96) that show a class by one direction of its own in one region; a third of labels unknown."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(3, 96))
    labels = (rng.random((images, 3)) < 0.4).astype(np.int8)
    regions = rng.normal(size=(images, 5, 96)) / 2
    for image, c in zip(*np.nonzero(labels), strict=True):
        regions[image, rng.integers(5)] += directions[c]
    labels[rng.random(labels.shape) < 1 / 3] = -1
    return InMemoryRegions(torch.from_numpy(regions).float()), labels


def small(method: str = "positivecoop", **changes):
    return load_recipe("default", method, **{"context_length": 4, "batch_size": 16, "epochs": 4} | changes)


def create(backbone, method: str, recipe) -> Recognizer:
    return create_recognizer(
        method, backbone, NAMES, context_length=recipe.context_length, start=recipe.start, offset=recipe.offset
    )


def losses(backbone, method: str, recipe) -> list[float]:
    curve: list[float] = []
    source, labels = toy()
    fit(create(backbone, method, recipe), source, labels, recipe, on_epoch=lambda report, _: curve.append(report.loss))
    return curve


@pytest.mark.parametrize("method", TRAINED)
def test_every_method_learns(tiny_backbone, method: str) -> None:
    curve = losses(tiny_backbone, method, small(method, epochs=8, warmup_epochs=0))
    assert curve[-1] < 0.8 * curve[0]
    assert all(math.isfinite(loss) for loss in curve)


def test_the_released_recipe_learns(tiny_backbone) -> None:
    recipe = load_recipe("released", "positivecoop", context_length=4, batch_size=8, epochs=8)
    curve = losses(tiny_backbone, "positivecoop", recipe)
    assert curve[-1] < curve[0]


def test_golden_loss_curves(tiny_backbone, request) -> None:
    """Rewrite them with `pytest tests/unit/test_training.py --rewrite-golden` when they are meant to change."""
    recipe = Recipe(
        start="agnostic",
        offset="none",
        context_length=4,
        optimizer="adam",
        context_rate=0.01,
        embedding_rate=0.1,
        linear_rate=0.01,
        batch_size=16,
        epochs=4,
    )
    curves = {method: losses(tiny_backbone, method, recipe) for method in TRAINED}
    if request.config.getoption("--rewrite-golden"):
        lines = [f"{method} {' '.join(f'{loss:.6f}' for loss in curve)}\n" for method, curve in curves.items()]
        GOLDEN.write_text("".join(lines), encoding="utf-8")
    golden = {line.split()[0]: [float(x) for x in line.split()[1:]] for line in GOLDEN.read_text().splitlines()}
    assert sorted(golden) == sorted(curves)
    for method, curve in curves.items():
        assert curve == pytest.approx(golden[method], rel=1e-4), method


class ConstantWarmup(torch.optim.lr_scheduler.LRScheduler):
    """As Dassl's `ConstantWarmupScheduler`: a constant rate for the first epochs, then a successor of its own pace."""

    def __init__(self, optimizer, successor, warmup_epochs: int, rates: list[float]) -> None:
        self.successor, self.warmup_epochs, self.rates = successor, warmup_epochs, rates
        super().__init__(optimizer)

    def get_lr(self):
        return self.successor.get_last_lr() if self.last_epoch >= self.warmup_epochs else self.rates

    def step(self):
        if self.last_epoch >= self.warmup_epochs:
            self.successor.step()
        else:
            super().step()


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
@pytest.mark.parametrize("warmup_epochs", [0, 1, 3])
def test_rates_follow_the_released_schedule(monkeypatch, warmup_epochs: int) -> None:
    """torch's cosine behind a warm-up as Dassl steps them, for two groups of rates; one warm-up rate for all groups."""
    recipe = small("baseline", optimizer="sgd", epochs=7, warmup_epochs=warmup_epochs, warmup_rate=0.003)
    recipe = recipe.model_copy(update={"linear_rate": 0.02, "embedding_rate": 0.5})
    seen = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD, "step", lambda self: seen.append([group["lr"] for group in self.param_groups]) or step(self)
    )
    source, labels = toy(images=16)
    fit(Recognizer(LinearSide.random(3, 96, 0), EmbeddingSide.random(3, 96, 0), NAMES), source, labels, recipe)
    monkeypatch.undo()

    groups = [{"params": [torch.zeros(1)], "lr": rate} for rate in (0.02, 0.02, 0.5)]
    optimizer = torch.optim.SGD(groups)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7.0)
    warmup = ConstantWarmup(optimizer, cosine, warmup_epochs, [0.003] * 3)
    expected = []
    for _ in range(7):
        expected.append([group["lr"] for group in optimizer.param_groups])
        warmup.step()
    assert len(seen) == 7
    np.testing.assert_allclose(seen, expected, rtol=1e-6, atol=1e-12)


def test_without_a_warmup_rate_each_group_warms_up_at_a_hundredth_of_its_own(monkeypatch) -> None:
    recipe = small("baseline", optimizer="sgd", epochs=2, warmup_epochs=1, linear_rate=0.02, embedding_rate=0.5)
    seen = []
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: seen.append([group["lr"] for group in self.param_groups]))
    source, labels = toy(images=16)
    fit(Recognizer(LinearSide.random(3, 96, 0), EmbeddingSide.random(3, 96, 0), NAMES), source, labels, recipe)
    np.testing.assert_allclose(seen, [[0.0002, 0.0002, 0.005], [0.02, 0.02, 0.5]])


def test_the_cosine_falls_from_one_to_almost_zero() -> None:
    factors = [rate_factor(epoch, 10, 0) for epoch in range(10)]
    assert factors[0] == 1
    assert factors == sorted(factors, reverse=True)
    assert 0 < factors[-1] < 0.03


def test_a_step_is_weight_times_rate_times_gradient_and_the_loss_is_per_image() -> None:
    recipe = small(
        "baseline", optimizer="sgd", momentum=0.0, epochs=1, warmup_epochs=0, linear_rate=0.01, batch_size=99
    )
    recipe = recipe.model_copy(update={"loss_weight": 0.3})
    source, labels = toy()
    recognizer = Recognizer(LinearSide.random(3, 96, 0), LinearSide.random(3, 96, 1), NAMES, "own")
    before = copy.deepcopy(recognizer)
    loss = asymmetric_loss(before(source.regions), torch.from_numpy(labels))
    loss.backward()
    reports, steps = [], []
    state = fit(
        recognizer,
        source,
        labels,
        recipe,
        on_epoch=lambda report, _: reports.append(report),
        on_step=lambda *step: steps.append(step),
    )
    for old, new in zip(before.parameters(), recognizer.parameters(), strict=True):
        torch.testing.assert_close(new, old - 0.01 * 0.3 * old.grad, rtol=1e-4, atol=1e-6)
    assert reports[0].loss == pytest.approx(0.3 * loss.item() / 48, rel=1e-5)
    assert (reports[0].epoch, reports[0].epochs, reports[0].score, steps) == (1, 1, None, [(1, 1)])
    assert all(torch.equal(state.learned[name], value) for name, value in recognizer.state_dict().items())


def test_unknown_images_teach_nothing() -> None:
    source, labels = toy()
    labels[:] = -1
    recognizer = Recognizer(LinearSide.random(3, 96, 0), EmbeddingSide.random(3, 96, 1), NAMES)
    before = copy.deepcopy(recognizer.state_dict())
    fit(recognizer, source, labels, small("baseline", epochs=2))
    assert all(torch.equal(before[name], value) for name, value in recognizer.state_dict().items())


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("scores", [None, [0.2, 0.9, 0.3, 0.1], [0.2, 0.3, 0.1, 0.9]], ids=str)
@pytest.mark.parametrize("stop", [1, 2, 4])
def test_an_interrupted_run_goes_on_to_the_same_bits(tiny_backbone, optimizer: str, scores, stop: int) -> None:
    recipe = small(optimizer=optimizer, weight_decay=1e-3)
    source, labels = toy(images=24)

    def run(state: TrainingState | None, stop: int | None) -> tuple[dict[str, torch.Tensor], TrainingState]:
        """The tensors and the state at the end, or as saved when it was interrupted after `stop` epochs."""
        remaining = iter((scores or [])[state.epoch if state else 0 :])
        recognizer = create(tiny_backbone, "positivecoop", recipe)
        saved = []

        def on_epoch(report, state: TrainingState) -> None:
            saved.append(copy.deepcopy(state))
            if report.epoch == stop:
                raise Interrupted

        try:
            score = None if scores is None else lambda _: next(remaining)
            end = fit(recognizer, source, labels, recipe, order_seed=5, score=score, state=state, on_epoch=on_epoch)
        except Interrupted:
            end = saved[-1]
        return recognizer.state_dict(), end

    whole, end = run(None, None)
    _, halfway = run(None, stop)
    assert halfway.epoch == stop
    resumed, resumed_end = run(halfway, None)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert resumed_end.best_epoch == end.best_epoch == (0 if scores is None else 1 + scores.index(0.9))
    assert all(torch.equal(end.optimizer[key], value) for key, value in resumed_end.optimizer.items())


def test_a_selection_keeps_the_first_of_the_best_epochs(tiny_backbone) -> None:
    recipe, seen, scores = small(), [], iter([0.1, 0.7, 0.7, math.nan])

    def score(folded: Recognizer) -> float:
        assert isinstance(folded.presence, EmbeddingSide)
        return next(scores)

    recognizer = create(tiny_backbone, "positivecoop", recipe)
    source, labels = toy(images=16)
    state = fit(
        recognizer,
        source,
        labels,
        recipe,
        score=score,
        on_epoch=lambda report, state: seen.append((report, state.learned)),
    )
    assert (state.best_epoch, state.best_score) == (2, 0.7)
    assert [report.score for report, _ in seen][:3] == [0.1, 0.7, 0.7]
    for name, value in recognizer.state_dict().items():
        assert torch.equal(value, seen[1][1][name])
        assert not torch.equal(value, seen[3][1][name])


def test_training_changes_no_tensor_of_the_backbone(tiny_backbone) -> None:
    def fingerprint() -> str:
        tensors = tiny_backbone._model.state_dict().values()
        return hashlib.sha256(b"".join(value.numpy().tobytes() for value in tensors)).hexdigest()

    before = fingerprint()
    losses(tiny_backbone, "dualcoop", small("dualcoop", epochs=2))
    assert fingerprint() == before


def test_each_epoch_sees_every_image_once_in_an_order_of_its_own() -> None:
    orders = [np.concatenate(epoch_order(10, 4, 0, epoch)) for epoch in range(5)]
    assert [len(batch) for batch in epoch_order(10, 4, 0, 0)] == [4, 4, 2]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 5
    assert tuple(np.concatenate(epoch_order(10, 3, 0, 2))) == tuple(orders[2])
    assert tuple(np.concatenate(epoch_order(10, 4, 1, 0))) != tuple(orders[0])
