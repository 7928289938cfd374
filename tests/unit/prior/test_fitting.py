"""A run begins at the calibrated zero-shot; what was settled once is not settled again."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit

from prior_support import CLASSES, NAMES, odds_of, recipe, world
from promptmlr.labels import UNKNOWN
from promptmlr.prediction import predict_margins
from promptmlr.prior import fitting, sample
from promptmlr.prior.fitting import begin_run
from promptmlr.prior.positive_only import POSITIVE_ONLY_COST
from promptmlr.prior.sample import sample_images
from promptmlr.prior.strength import INFINITE, StrengthChoice
from promptmlr.prior.zero_shot import Moments, assumed_share, fit_scaling
from promptmlr.prior_record import PriorRecord
from promptmlr.recipes import load_recipe
from promptmlr.training import TrainingState, fit_runs


def test_it_begins_at_the_calibrated_zero_shot() -> None:
    recognizer, source, labels = world()
    untouched = predict_margins(recognizer, source)[1]
    begun = begin_run(recognizer, source, labels, recipe())
    assert begun.run.recognizer is recognizer
    scale, shift = (part.numpy() for part in fit_scaling(untouched, labels, Moments.of(untouched))[0].line())
    np.testing.assert_allclose(odds_of(begun.run, source), scale * untouched + shift, rtol=1e-4, atol=1e-4)
    vectors = recognizer.presence.embedding, recognizer.absence.embedding
    assert all(torch.equal(start, now) for start, now in zip(begun.run.prior.start, vectors, strict=True))
    assert begun.run.prior.strength == begun.record.lambda_ < INFINITE
    assert begun.record.level == "labels"
    assert begun.odds.shape == labels.shape
    assert (np.isfinite(begun.odds) == (labels != UNKNOWN)).all()
    assert f"{begun.record.strength:g}" in begun.record.costs


def test_a_recipe_without_a_prior_begins_where_it_is() -> None:
    recognizer, source, labels = world()
    plain = load_recipe("default", "dualembedding")
    begun = begin_run(recognizer, source, labels, plain)
    assert (begun.record, begun.odds, begun.run.prior, recognizer.scaling) == (None, None, None, None)
    assert begun.run.recipe == plain.model_copy(update={"unknown": "ignore"})


def test_a_given_record_is_used_as_it_is(monkeypatch) -> None:
    """Of an interrupted run: nothing is looked at, fitted or chosen again."""
    recognizer, source, labels = world()
    again = copy.deepcopy(recognizer)
    begun = begin_run(recognizer, source, labels, recipe(), share=0.4)
    for name in ("choose_strength", "calibrated_zero_shot", "sampled_regions"):
        monkeypatch.setattr(fitting, name, None)
    record = PriorRecord.model_validate_json(begun.record.model_dump_json())
    state = TrainingState(epoch=2)
    resumed = begin_run(again, source, labels, recipe(), state=state, record=record)
    assert resumed.record is record
    assert resumed.run.state is state
    assert resumed.run.prior.strength == begun.run.prior.strength
    for name, value in recognizer.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("asked", "strength", "record"), [("infinite", math.inf, "infinite"), (250.0, 250.0, 250.0), (1e-3, 1e-3, 1e-3)]
)
def test_a_strength_that_is_asked_for_is_taken(monkeypatch, asked, strength: float, record) -> None:
    monkeypatch.setattr(fitting, "choose_strength", None)
    recognizer, source, labels = world()
    begun = begin_run(recognizer, source, labels, recipe(prior_strength=asked))
    assert begun.run.prior.strength == strength
    assert (begun.record.strength, begun.record.costs, begun.odds) == (record, {}, None)


def test_with_infinite_strength_training_is_the_calibrated_zero_shot() -> None:
    recognizer, source, labels = world()
    begun = begin_run(recognizer, source, labels, recipe(prior_strength="infinite"))
    before = odds_of(begun.run, source)
    fit_runs([begun.run], source)
    assert (odds_of(begun.run, source) == before).all()


@pytest.mark.parametrize("strength", ["auto", 100.0])
def test_without_any_label_it_is_zero_shot_at_an_assumed_level(strength) -> None:
    recognizer, source, labels = world()
    labels[:] = UNKNOWN
    begun = begin_run(recognizer, source, labels, recipe(prior_strength=strength))
    assert (begun.record.strength, begun.record.costs, begun.record.level) == ("infinite", {}, "assumed")
    assert begun.run.prior.infinite
    assert expit(odds_of(begun.run, source)).mean() == pytest.approx(assumed_share(CLASSES), abs=1e-5)


@pytest.mark.parametrize("value", [0, 1])
def test_labels_of_one_kind(value: int) -> None:
    """Absence alone cannot tell how strong a prior should be; presence alone are ticks."""
    recognizer, source, labels = world()
    labels[labels == 1 - value] = UNKNOWN
    begun = begin_run(recognizer, source, labels, recipe())
    assert begun.record.level == ("labels", "loss")[value]
    assert (begun.record.strength == "infinite") == (value == 0)
    assert expit(odds_of(begun.run, source)).mean() < 0.5


@pytest.mark.parametrize("kind", ["right", "ticks"])
def test_the_level_is_that_of_a_known_share(kind: str) -> None:
    recognizer, source, labels = world(labels=kind)
    begun = begin_run(copy.deepcopy(recognizer), source, labels, recipe(prior_strength=500.0), share=0.4)
    assert begun.record.level == "share"
    assert expit(odds_of(begun.run, source)).mean() == pytest.approx(0.4, abs=1e-5)
    each = [0.1, 0.3, 0.5, 0.05]
    begun = begin_run(recognizer, source, labels, recipe(prior_strength=500.0), share=each)
    assert expit(odds_of(begun.run, source)).mean(axis=0) == pytest.approx(each, abs=1e-5)
    # the prior moves with it, so that nothing pulls back to where it was
    plain = begin_run(world(labels=kind)[0], source, labels, recipe(prior_strength=500.0))
    penalties = [one.run.recognizer.scaling.penalty().item() for one in (begun, plain)]
    assert penalties[0] == pytest.approx(penalties[1], rel=1e-3)


def test_ticks_are_found_and_cost_something_in_their_classes_alone() -> None:
    recognizer, source, labels = world()
    labels[labels[:, 1] == 0, 1] = UNKNOWN
    begun = begin_run(recognizer, source, labels, recipe(prior_strength=500.0))
    assert begun.run.recipe.unknown == begun.record.unknown == POSITIVE_ONLY_COST
    assert begun.run.costly.tolist() == list(begun.record.costly) == [False, True, False, False]
    assert begun.record.level == "loss"
    again = begin_run(world()[0], source, labels, begun.run.recipe, costly=begun.run.costly)
    assert again.run.costly.tolist() == [False, True, False, False]
    everywhere = begin_run(world()[0], source, labels, recipe(unknown="absent", prior_strength=500.0))
    assert everywhere.run.costly.all()


def test_of_many_images_a_sample_is_looked_at(monkeypatch) -> None:
    recognizer, source, labels = world(images=300)
    labels[100:] = UNKNOWN
    looked, tried = [], []
    margins = sample.predict_margins
    monkeypatch.setattr(sample, "MARGINS_SAMPLE", 90)
    monkeypatch.setattr(fitting, "PATH_SAMPLE", 40)
    monkeypatch.setattr(
        sample, "predict_margins", lambda model, some: looked.append(some.chosen) or margins(model, some)
    )

    def choose(recognizer, regions, seen, *rest, **options):
        tried.append((len(regions), seen))
        return StrengthChoice(500.0, {INFINITE: 0.5, 500.0: 0.4}, np.where(seen == UNKNOWN, np.nan, 7.0))

    monkeypatch.setattr(fitting, "choose_strength", choose)
    begun = begin_run(recognizer, source, labels, recipe())
    [images], [(count, seen)] = looked, tried
    assert len(images) == 90
    known = (labels != UNKNOWN).any(axis=1)
    assert known[images].sum() == min(90, known.sum())
    assert count == 40
    assert (seen != UNKNOWN).any(axis=1).all()
    assert begun.record.costs == {"infinite": 0.5, "500": 0.4}
    found = ~np.isnan(begun.odds)
    assert found.any(axis=1).sum() == 40
    assert (labels[found] != UNKNOWN).all()
    assert (begun.odds[found] == 7.0).all()


def test_samples_take_labelled_images_first_unless_unknown_ones_cost_something() -> None:
    labels = np.full((1_000, 3), UNKNOWN, np.int8)
    known = np.random.default_rng(1).permutation(1_000)[:60]
    labels[known, 0] = 1
    found = sample_images(labels, 100, seed=0)
    assert set(known) <= set(found)
    assert len(set(found)) == 100
    assert (np.diff(found) > 0).all()
    assert 0 < np.isin(sample_images(labels, 100, seed=0, uniform=True), known).sum() < 30
    assert np.isin(sample_images(labels, 20, seed=0), known).all()
    assert (sample_images(labels, 100, seed=0) == found).all()
    assert (sample_images(labels, 100, seed=1) != found).any()
    assert (sample_images(labels, 1_000, seed=0) == np.arange(1_000)).all()


def test_regions_that_cannot_be_read_shift_nothing() -> None:
    """Odds and scaling belong to the images they are of, whichever a source leaves out."""
    recognizer, source, labels = world(images=60)

    class Lossy:
        def __len__(self) -> int:
            return len(source)

        def batches(self, plan, epoch=0):
            for indices, regions in source.batches(plan, epoch):
                kept = indices % 5 != 0
                if kept.any():
                    yield indices[kept], regions[torch.from_numpy(kept)]

    unread = labels.copy()
    unread[::5] = UNKNOWN
    begun = begin_run(copy.deepcopy(recognizer), Lossy(), labels, recipe())
    assert np.isnan(begun.odds[::5]).all()
    assert (np.isfinite(begun.odds) == (unread != UNKNOWN)).all()
    rest = np.arange(60) % 5 != 0
    only = begin_run(recognizer, replace_regions(source, rest), labels[rest], recipe())
    assert begun.record == only.record
    np.testing.assert_array_equal(begun.odds[rest], only.odds)


def replace_regions(source, rows: np.ndarray):
    return type(source)(source.regions[torch.from_numpy(rows)])


def test_records_are_what_a_run_folder_keeps() -> None:
    recognizer, source, labels = world()
    record = begin_run(recognizer, source, labels, recipe(prior_strength=500.0)).record
    assert PriorRecord.model_validate_json(record.model_dump_json()) == record
    older = record.model_dump_json().replace('"costly"', '"ticked"')  # as runs before that name have it
    assert PriorRecord.model_validate_json(older) == record
    scaling = record.scaling()
    for name, value in recognizer.scaling.state_dict().items():
        assert torch.equal(scaling.state_dict()[name], value), name
    log_scale, shift = record.line
    common = record.common
    assert np.exp(log_scale) * common["mean"] + shift == pytest.approx(common["shift"])
    for wrong in (
        {"strength": 0.0},
        {"strength": "weak"},
        {"shift": record.shift[:2]},
        {"costly": record.costly[:2]},
        {"centre": (math.nan,) * len(NAMES)},
        {"level": "guess"},
        {"more": 1},
    ):
        with pytest.raises(ValueError, match=r"validation error"):
            PriorRecord(**(record.model_dump() | wrong))


def test_the_same_seed_begins_the_same_run() -> None:
    first, again = (begin_run(*world(images=80), recipe(), seed=4) for _ in range(2))
    assert first.record == again.record
    assert replace(first, run=None, odds=None) == replace(again, run=None, odds=None)
    assert np.array_equal(first.odds, again.odds, equal_nan=True)
