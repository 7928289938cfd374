"""How strongly labels may move the prior: what they say out of fold decides, and little else."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import log_loss, roc_auc_score

from prior_support import CLASSES, world
from promptmlr.labels import UNKNOWN, label_folds
from promptmlr.prediction import predict_margins
from promptmlr.prior import strength
from promptmlr.prior.strength import FOLDS, INFINITE, STRENGTHS, StrengthChoice, choose_strength
from promptmlr.prior.zero_shot import Moments, fit_scaling
from promptmlr.recipes import load_recipe
from promptmlr.training import Prior, TrainingRun

NOBODY, EVERYBODY = np.zeros(CLASSES, dtype=np.bool_), np.ones(CLASSES, dtype=np.bool_)


def chosen(recognizer, source, labels, unknown: str = "ignore", **options) -> StrengthChoice:
    recipe = load_recipe("default", "anchored", unknown=unknown)
    moments = Moments.of(predict_margins(recognizer, source)[1])
    costly = NOBODY if unknown == "ignore" else EVERYBODY
    return choose_strength(recognizer, source, labels, moments, recipe, costly=costly, **options)


def test_a_prior_that_knows_nothing_is_left_behind_and_one_that_knows_is_kept_longer() -> None:
    wrong, right = chosen(*world(400, texts="shuffled")), chosen(*world(400, known=0.05))
    assert wrong.strength <= 300 < right.strength
    assert wrong.costs[wrong.strength] < wrong.costs[INFINITE] - 0.02


def test_random_labels_hardly_move_it() -> None:
    """What is fitted to noise costs something on the labels left out, at every strength."""
    found = chosen(*world(labels="noise", seed=3))
    assert found.strength >= 1_000
    costs = [found.costs[strength] for strength in (INFINITE, *STRENGTHS) if strength in found.costs]
    assert costs[0] == min(costs)
    assert costs[-1] == max(costs)


def test_rates_of_vectors_and_of_prompts_shrink_with_the_width_of_the_prior(monkeypatch) -> None:
    tried = []
    monkeypatch.setattr(strength, "fit_runs", lambda runs, *_, **__: tried.append(runs[0]))
    chosen(*world(100))
    usual = load_recipe("default", "anchored")
    assert len(tried) > 1
    for run in tried:
        share = min(1, math.sqrt(strength.WIDE / float(run.prior.strength)))
        assert run.recipe.embedding_rate == pytest.approx(share * usual.embedding_rate)
        assert run.recipe.context_rate == pytest.approx(share * usual.context_rate)


def test_infinite_is_a_choice(monkeypatch) -> None:
    """Where nothing but the labels has a say, noise leaves zero-shot as it is."""
    monkeypatch.setattr(strength, "SPREAD", 1e9)
    found = chosen(*world(labels="noise", seed=3))
    assert found.strength == INFINITE
    assert min(found.costs, key=found.costs.get) == INFINITE


def test_no_strength_is_taken_that_does_plainly_worse_than_zero_shot(monkeypatch) -> None:
    """However sure one is beforehand that labels should move it."""
    whole = world(1_000, labels="noise")
    known = (whole[2] != UNKNOWN).sum()
    monkeypatch.setattr(strength, "SPREAD", 0.01)
    found = chosen(*whole)
    away = {one: known * (cost - found.costs[INFINITE]) for one, cost in found.costs.items()}
    assert max(away.values()) > strength.WORSE >= away[found.strength]


@pytest.mark.parametrize("known", [0.1, 0.5])
def test_the_cost_and_a_wide_prior_on_the_strength_decide(known: float) -> None:
    """The prior lies around a number over the labels per class, within bounds; infinity counts as a large number."""
    _, _, labels = whole = world(known=known)
    found = chosen(*whole)
    count = (labels != UNKNOWN).sum()
    expected = np.clip(strength.EXPECTED_TIMES_LABELS / (count / CLASSES), *strength.EXPECTED_WITHIN)
    total = {
        one: cost * count - norm.logpdf(math.log(min(one, strength.INFINITE_COUNTS_AS) / expected), 0, strength.SPREAD)
        for one, cost in found.costs.items()
    }
    assert found.strength == min(total, key=total.get)


def test_the_cost_of_zero_shot_is_the_log_loss_of_its_calibration_out_of_fold() -> None:
    recognizer, source, labels = world()
    found = chosen(recognizer, source, labels, seed=3)
    margins = predict_margins(recognizer, source)[1]
    fold = label_folds(labels, 3, FOLDS)
    said, there = [], []
    for number in range(FOLDS):
        seen = np.where(fold == number, np.int8(UNKNOWN), labels)
        scale, shift = (part.numpy() for part in fit_scaling(margins, seen, Moments.of(margins))[0].line())
        odds = scale * margins + shift
        said += (1 / (1 + np.exp(-odds[fold == number]))).tolist()
        there += labels[fold == number].tolist()
    assert found.costs[INFINITE] == pytest.approx(log_loss(there, said), rel=1e-4)


def test_odds_are_of_runs_that_did_not_see_the_label(monkeypatch) -> None:
    """A weak prior fits noise; what it says of the labels it fitted would give them away."""
    monkeypatch.setattr(strength, "STRENGTHS", (1.0,))
    monkeypatch.setattr(strength, "EXPECTED_WITHIN", (1.0, 1.0))
    monkeypatch.setattr(strength, "SPREAD", 0.1)
    recognizer, source, labels = world(labels="noise", images=60)
    found = chosen(recognizer, source, labels)
    assert found.strength == 1.0
    known = labels != UNKNOWN
    assert found.odds is not None
    assert (np.isnan(found.odds) == ~known).all()
    assert np.isfinite(found.odds[known]).all()
    assert roc_auc_score(labels[known], found.odds[known]) < 0.65
    cost = np.logaddexp(0, np.where(labels == 1, -1, 1)[known] * found.odds[known]).mean()
    assert found.costs[found.strength] == pytest.approx(cost, rel=1e-5)


def test_the_path_is_left_once_it_gets_worse() -> None:
    steps = []
    found = chosen(*world(60, labels="noise"), on_strength=lambda *step: steps.append(step))
    assert list(found.costs) == [INFINITE, *STRENGTHS][: len(found.costs)]
    assert 3 < len(found.costs) < 1 + len(STRENGTHS)
    assert steps == [(number + 1, 1 + len(STRENGTHS)) for number in range(len(found.costs))]
    assert len(chosen(*world(texts="shuffled")).costs) == 1 + len(STRENGTHS)


def test_a_seed_gives_the_same_choice_and_another_seed_other_folds() -> None:
    first, again, other = (chosen(*world(images=80), seed=seed) for seed in (0, 0, 1))
    assert (first.strength, first.costs) == (again.strength, again.costs)
    assert np.array_equal(first.odds, again.odds, equal_nan=True)
    assert other.costs != first.costs


def test_the_recognizer_stays_as_it_is() -> None:
    recognizer, source, labels = world(images=80, texts="shuffled")
    before = copy.deepcopy(recognizer.state_dict())
    chosen(recognizer, source, labels)
    assert recognizer.scaling is None
    assert all(torch.equal(before[name], value) for name, value in recognizer.state_dict().items())


@pytest.mark.parametrize(("present", "folds"), [(0, 0), (1, 0), (2, 2), (3, 3), (9, 3)])
def test_a_handful_of_labels(present: int, folds: int, monkeypatch) -> None:
    """As many folds as labels are present, three at most; with fewer than two nothing can be left out."""
    recognizer, source, labels = world(images=40)
    labels[:] = UNKNOWN
    labels[:10, 0] = 0
    labels[10 : 10 + present, 1] = 1
    asked = []
    real = strength.label_folds
    monkeypatch.setattr(strength, "label_folds", lambda *rest: asked.append(rest[2]) or real(*rest))
    found = chosen(recognizer, source, labels)
    assert asked == ([folds] if folds else [])
    if not folds:
        assert found == StrengthChoice(INFINITE)


@pytest.mark.parametrize("unknown", ["absent", "hill", "weak", "large-loss"])
def test_ticks_have_finite_costs(unknown: str) -> None:
    found = chosen(*world(labels="ticks"), unknown=unknown)
    assert all(math.isfinite(cost) for cost in found.costs.values())
    assert len(found.costs) > 1


def test_of_ticks_the_unknown_labels_cost_something_too() -> None:
    """Their cost is that of all folds' recognizers in the mean: were it left out, presence everywhere would be free."""
    recognizer, source, labels = world(labels="ticks", images=80)
    found = chosen(recognizer, source, labels, unknown="absent")
    margins = predict_margins(recognizer, source)[1]
    fold, known = label_folds(labels, 0, FOLDS), labels != UNKNOWN
    total = 0.0
    for number in range(FOLDS):
        seen = np.where(fold == number, np.int8(UNKNOWN), labels)
        scaling, _ = fit_scaling(margins, seen, Moments.of(margins), "absent", EVERYBODY)
        scale, shift = (part.numpy() for part in scaling.line())
        odds = scale * margins + shift
        total += np.logaddexp(0, -odds)[fold == number].sum() + np.logaddexp(0, odds)[~known].sum() / FOLDS
    assert found.costs[INFINITE] == pytest.approx(total / known.sum(), rel=1e-4)


def test_steps_along_the_path_are_no_longer_than_the_prior_is_wide() -> None:
    """Or where labels are few, and steps too, what is left of them drowns the differences between strengths."""
    recognizer, source, labels = world(60)
    _, margins = predict_margins(recognizer, source)
    recipe = load_recipe("default", "anchored", unknown="ignore")
    start = Prior.of(recognizer, INFINITE).start
    moved = {}
    for held_by in (30_000.0, 300.0):
        own = copy.deepcopy(recognizer)
        own.scaling, _ = fit_scaling(margins, labels, Moments.of(margins))
        strength._train([TrainingRun(own, labels, recipe)], source, recipe, Prior(start, held_by), 0)
        moved[held_by] = ((own.presence.embedding - start[0]).norm() / start[0].norm()).item()
    assert moved[30_000.0] < 0.05 < moved[300.0]
