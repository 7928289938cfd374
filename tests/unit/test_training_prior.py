"""Training under a prior is the search for a maximum a posteriori, whatever is trained beside it."""

import copy
import math

import numpy as np
import pytest
import torch

from promptmlr import training
from promptmlr.methods import create_recognizer
from promptmlr.platt import PlattScaling
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import InMemoryRegions
from promptmlr.sides import EmbeddingSide
from promptmlr.training import Prior, TrainingRun, TrainingState, fit, fit_runs

NAMES = ["dog", "traffic light", "umbrella"]
C, D = 3, 8


def recipe(**changes) -> Recipe:
    return load_recipe("default", "anchored", **{"batch_size": 16, "epochs": 4, "unknown": "ignore"} | changes)


def data(images: int = 40, seed: int = 0, known: float = 0.5) -> tuple[InMemoryRegions, np.ndarray]:
    """Every image has a known label."""
    rng = np.random.default_rng(seed)
    regions = torch.from_numpy(rng.normal(size=(images, 4, D)))
    labels = (rng.random((images, C)) < 0.4).astype(np.int8)
    hidden = rng.random(labels.shape) > known
    hidden[np.arange(images), rng.integers(C, size=images)] = False
    labels[hidden] = -1
    return InMemoryRegions(regions), labels


def scaled(seed: int = 0, order: tuple[int, ...] = (0, 1, 2)) -> Recognizer:
    """Embeddings of length between one and two, and a scaling, in float64; classes in an order."""
    rng = np.random.default_rng(seed)
    sides = []
    for _ in range(2):
        vectors = rng.normal(size=(C, D))
        vectors *= rng.uniform(1, 2, (C, 1)) / np.linalg.norm(vectors, axis=1, keepdims=True)
        sides.append(EmbeddingSide(torch.from_numpy(vectors[list(order)])))
    columns = (torch.from_numpy(rng.normal(size=C) / 3 - shift)[list(order)] for shift in (3, 1, 0))
    return Recognizer(*sides, NAMES, scaling=PlattScaling(*columns))


def run_of(strength, labels: np.ndarray, seed: int = 0, **changes) -> TrainingRun:
    recognizer = scaled(seed)
    return TrainingRun(recognizer, labels, recipe(**changes), prior=Prior.of(recognizer, strength))


def moved_from(start: Recognizer, seed: int = 9) -> Recognizer:
    """The same elsewhere."""
    other = copy.deepcopy(start)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in other.parameters():
            value.add_(torch.randn(value.shape, generator=generator, dtype=torch.float64) / 5)
    return other


def negative_log_posterior(recognizer, start, regions, labels, strength, weight: float = 1.0) -> torch.Tensor:
    """From the definitions, class by class: log odds, cross-entropy of known labels, Gaussians around the start."""
    scaling, before = recognizer.scaling, start.scaling
    units = torch.nn.functional.normalize(regions, dim=-1)
    total = torch.zeros((), dtype=torch.float64)
    for c in range(C):
        maps = [
            20 * units @ torch.nn.functional.normalize(side.embedding[c], dim=0)
            for side in (recognizer.presence, recognizer.absence)
        ]
        attention = torch.softmax(maps[0], dim=1)
        margin = 5 * (attention * (maps[0] - maps[1])).sum(dim=1)
        odds = scaling.log_scale[c].exp() * (margin - scaling.centre[c]) + scaling.shift[c]
        for image in np.flatnonzero(labels[:, c] >= 0):
            p = torch.sigmoid(odds[image])
            total = total - weight * torch.log(p if labels[image, c] == 1 else 1 - p)
        precision = (strength if isinstance(strength, float) else strength[c]) * (2 * scaling.log_scale[c]).exp()
        for side, old in ((recognizer.presence, start.presence), (recognizer.absence, start.absence)):
            v, v0 = side.embedding[c], old.embedding[c].detach()
            total = total + precision / 2 * ((v - v0) ** 2).sum() / (v0**2).sum()
    for name, own, common in (("log_scale", 0.5, 0.7), ("shift", 1.0, 2.0)):
        away = getattr(scaling, name) - getattr(before, name).detach()
        total = total + (((away - away.mean()) / own) ** 2).sum() / 2 + (away.mean() / common) ** 2 / 2
    return total


@pytest.mark.parametrize("strength", [7.0, torch.tensor([0.5, 20.0, 3.0], dtype=torch.float64)], ids=["one", "each"])
def test_a_step_goes_down_the_gradient_of_the_log_posterior(strength) -> None:
    source, labels = data()
    start = scaled()
    recognizer = moved_from(start)
    plain = copy.deepcopy(recognizer)
    expected = negative_log_posterior(plain, start, source.regions, labels, strength, weight=0.3)
    gradients = torch.autograd.grad(expected, list(plain.parameters()))
    rates = {"embedding_rate": 1e-3, "scaling_rate": 1e-4}
    changes = {"optimizer": "sgd", "momentum": 0.0, "batch_size": 99, "epochs": 1, "loss_weight": 0.3, **rates}
    before = [value.detach().clone() for value in recognizer.parameters()]
    losses = []
    fit(
        recognizer,
        source,
        labels,
        recipe(**changes),
        prior=Prior.of(start, strength),
        on_epoch=lambda report, _: losses.append(report.loss),
    )
    for old, (name, new), gradient in zip(before, recognizer.named_parameters(), gradients, strict=True):
        rate = 1e-4 if name.startswith("scaling") else 1e-3
        torch.testing.assert_close((old - new) / rate, gradient, rtol=1e-6, atol=1e-9)
    likelihood = negative_log_posterior(plain, plain, source.regions, labels, 0.0, weight=0.3)  # what is reported
    assert losses == [pytest.approx(likelihood.item() / 40)]


def test_over_an_epoch_of_batches_the_prior_counts_once() -> None:
    source, labels = data()
    start = scaled()
    plain, recognizer = moved_from(start), moved_from(start)
    expected = negative_log_posterior(plain, start, source.regions, labels, 5.0)
    gradients = torch.autograd.grad(expected, list(plain.parameters()))
    rates = {"embedding_rate": 1e-7, "scaling_rate": 1e-7}
    small = recipe(optimizer="sgd", momentum=0.0, batch_size=7, epochs=1, **rates)
    fit(recognizer, source, labels, small, prior=Prior.of(start, 5.0))
    for old, new, gradient in zip(plain.parameters(), recognizer.parameters(), gradients, strict=True):
        torch.testing.assert_close((old - new) / 1e-7, gradient, rtol=1e-3, atol=1e-3)


def test_it_ends_where_the_log_posterior_is_least() -> None:
    source, labels = data(images=20)
    start = scaled()
    recognizer = copy.deepcopy(start)
    fit(
        recognizer,
        source,
        labels,
        recipe(batch_size=99, epochs=600, embedding_rate=0.02, scaling_rate=0.02),
        prior=Prior.of(start, 100.0),
    )
    best = copy.deepcopy(start)
    optimizer = torch.optim.LBFGS(best.parameters(), max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = negative_log_posterior(best, start, source.regions, labels, 100.0)
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        found, least, zero = (
            negative_log_posterior(one, start, source.regions, labels, 100.0).item()
            for one in (recognizer, best, start)
        )
    assert least < zero - 1
    assert found < least + 0.01 * (zero - least)


def test_with_infinite_strength_nothing_moves_and_no_epoch_is_counted() -> None:
    source, labels = data()
    run, epochs = run_of(math.inf, labels), []
    before = copy.deepcopy(run.recognizer.state_dict())
    fit_runs([run], source, on_epoch=epochs.append)
    assert all(torch.equal(before[name], value) for name, value in run.recognizer.state_dict().items())
    assert (run.state.epoch, epochs) == (0, [])


def test_the_stronger_the_prior_the_less_vectors_move() -> None:
    source, labels = data()
    start = scaled()
    far = []
    for strength in (1e9, 1e3, 10.0, 1e-6):
        run = run_of(strength, labels, epochs=30)
        fit_runs([run], source)
        far.append((run.recognizer.presence.embedding - start.presence.embedding).norm().item())
    assert far == sorted(far)
    assert far[0] < 2e-3 < 0.1 < far[-1]


def test_a_weak_prior_is_none() -> None:
    source, labels = data()
    weak = run_of(1e-9, labels)
    free = run_of(1e-9, labels)
    free.prior = None
    for run in (weak, free):
        fit_runs([run], source)
    for one, other in zip(weak.recognizer.parameters(), free.recognizer.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_images_without_a_known_label_change_nothing(optimizer: str) -> None:
    """Not even how many steps there are, or their order."""
    source, labels = data(images=24)
    more = torch.randn(50, 4, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    padded = np.concatenate([np.full((50, C), -1, np.int8), labels])
    alone, beside = (run_of(3.0, given, optimizer=optimizer) for given in (labels, padded))
    fit_runs([alone], source)
    fit_runs([beside], InMemoryRegions(torch.cat([more, source.regions])))
    for one, other in zip(alone.recognizer.parameters(), beside.recognizer.parameters(), strict=True):
        assert torch.equal(one, other)
    assert alone.state.epoch == beside.state.epoch == 4


def test_where_unknown_labels_cost_something_all_images_are_seen() -> None:
    source, labels = data(images=24)
    ticked = np.where(labels == 1, labels, np.int8(-1))
    assert (ticked == -1).all(axis=1).any()
    rows = []
    run = run_of(3.0, ticked, unknown="absent", epochs=1)

    class Noted(InMemoryRegions):
        def batches(self, plan, epoch=0):
            rows.extend(np.concatenate(plan))
            return super().batches(plan, epoch)

    fit_runs([run], Noted(source.regions))
    assert sorted(rows) == list(range(24))


def test_without_any_label_a_prior_stays_where_it_is() -> None:
    source, labels = data(images=10)
    run = run_of(3.0, np.full_like(labels, -1))
    before = copy.deepcopy(run.recognizer.state_dict())
    losses: list[float] = []
    fit_runs([run], source, on_epoch=lambda reports: losses.append(reports[0].loss))
    assert losses == [0.0] * 4
    assert all(torch.equal(before[name], value) for name, value in run.recognizer.state_dict().items())


def test_unknown_labels_cost_something_in_their_classes_alone() -> None:
    source, labels = data()
    plain, costly = run_of(3.0, labels), run_of(3.0, labels, unknown="absent")
    costly.costly = np.array([False, True, False])
    for run in (plain, costly):
        run.recognizer.scaling = None  # which ties classes together
        fit_runs([run], source)
    same = [
        torch.allclose(one, other, rtol=1e-9, atol=1e-12)
        for one, other in zip(plain.recognizer.presence.embedding, costly.recognizer.presence.embedding, strict=True)
    ]
    assert same == [True, False, True]


def strengths() -> tuple[object, ...]:
    return 2.0, math.inf, torch.tensor([0.5, 200.0, 9.0], dtype=torch.float64), 1e4


@pytest.mark.parametrize("in_cache", [2**22, 1], ids=["side by side", "one after the other"])
@pytest.mark.parametrize("unknown", ["ignore", "hill", "large-loss"])
def test_together_is_one_by_one(monkeypatch, in_cache: int, unknown: str) -> None:
    """Of several strengths, one of them infinite, each with labels and a start of its own."""
    monkeypatch.setattr(training, "MAPS_IN_CACHE", in_cache)
    source, _ = data()

    def runs() -> list[TrainingRun]:
        found = [
            run_of(strength, data(seed=seed)[1], seed, unknown=unknown, loss_weight=1.0 + seed)
            for seed, strength in enumerate(strengths())
        ]
        found[2].costly = np.array([True, False, True])
        return found

    alone, joint = runs(), runs()
    for run in alone:
        fit_runs([run], source)
    fit_runs(joint, source)
    for one, other in zip(alone, joint, strict=True):
        for name, value in one.recognizer.state_dict().items():
            torch.testing.assert_close(other.recognizer.state_dict()[name], value, rtol=1e-9, atol=1e-9, msg=name)
    untouched = scaled(1).state_dict()
    assert all(torch.equal(untouched[name], value) for name, value in joint[1].recognizer.state_dict().items())


def test_runs_with_and_without_a_prior_are_not_trained_together() -> None:
    source, labels = data()
    with_prior, without = run_of(2.0, labels), run_of(2.0, labels)
    without.prior = None
    with pytest.raises(ValueError, match="trained together"):
        fit_runs([with_prior, without], source)


def test_the_order_of_classes_changes_nothing() -> None:
    source, labels = data()
    order = (2, 0, 1)
    each = torch.tensor([2.0, 5.0, 300.0], dtype=torch.float64)
    plain, permuted = scaled(), scaled(order=order)
    fit(plain, source, labels, recipe(), prior=Prior.of(plain, each))
    fit(permuted, source, labels[:, order], recipe(), prior=Prior.of(permuted, each[list(order)]))
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(permuted.state_dict()[name], value[list(order)], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stop", [1, 3])
@pytest.mark.parametrize("scores", [None, [0.2, 0.9, 0.3, 0.1]], ids=["last", "best"])
def test_interrupted_it_goes_on_to_the_same_bits(stop: int, scores) -> None:
    source, labels = data()

    def run(state: TrainingState, stop: int | None) -> tuple[Recognizer, TrainingState]:
        remaining = iter((scores or [])[state.epoch :])
        recognizer = scaled()
        saved = []

        def on_epoch(report, current: TrainingState) -> None:
            saved.append(copy.deepcopy(current))
            if report.epoch == stop:
                raise KeyboardInterrupt

        options = {"state": state, "prior": Prior.of(recognizer, 3.0), "on_epoch": on_epoch}
        score = None if scores is None else lambda _: next(remaining)
        try:
            fit(recognizer, source, labels, recipe(), score=score, **options)
        except KeyboardInterrupt:
            return recognizer, saved[-1]
        return recognizer, saved[-1]

    whole, _ = run(TrainingState(), None)
    _, halfway = run(TrainingState(), stop)
    assert halfway.epoch == stop
    resumed, _ = run(halfway, None)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_prior_is_of_where_prompts_begin_too(tiny_backbone) -> None:
    """The vectors that count are those of the texts, which contexts move."""
    rng = np.random.default_rng(0)
    labels = (rng.random((24, C)) < 0.4).astype(np.int8)
    source = InMemoryRegions(torch.from_numpy(rng.normal(size=(24, 5, 96))).float())
    far = []
    for strength in (1e6, 1e-6):
        recognizer = create_recognizer("positivecoop", tiny_backbone, NAMES, context_words="a photo of a")
        start = recognizer.fold().presence.embedding
        options = load_recipe("default", "positivecoop", epochs=3, batch_size=8, loss="cross-entropy")
        fit(recognizer, source, labels, options, prior=Prior.of(recognizer, strength))
        far.append((recognizer.fold().presence.embedding - start).norm().item())
    assert far[0] < far[1] / 3
