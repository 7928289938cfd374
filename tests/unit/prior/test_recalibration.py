"""What training makes too sure is put right on labels out of fold, and only there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from prior_support import odds_of, recipe, world
from promptmlr.labels import UNKNOWN
from promptmlr.prior import recalibration
from promptmlr.prior.fitting import BegunRun, begin_run
from promptmlr.prior.recalibration import recalibrate
from promptmlr.regions import InMemoryRegions
from promptmlr.training import fit_runs


def trained(images: int = 200, kind: str = "right", **changes) -> tuple[BegunRun, InMemoryRegions]:
    recognizer, source, labels = world(images, labels=kind)
    begun = begin_run(recognizer, source, labels, recipe(epochs=2, **changes))
    fit_runs([begun.run], source)
    return begun, source


def told(begun: BegunRun, scale: float, shift: float) -> BegunRun:
    """As if log odds out of fold were on this line: what is present is so with the probability they should say."""
    rng = np.random.default_rng(0)
    right = rng.normal(0, 2, begun.run.labels.shape)
    labels = (rng.random(right.shape) < expit(right)).astype(np.int8)
    return replace(begun, run=replace(begun.run, labels=labels), odds=(right - shift) / scale)


def test_the_line_is_that_of_logistic_regression_where_labels_are_many(monkeypatch) -> None:
    monkeypatch.setattr(recalibration, "SPREAD", 100.0)
    begun, source = trained(2_000)
    before, begun = odds_of(begun.run, source), told(begun, 0.6, -0.7)
    found = recalibrate(begun)
    regression = LogisticRegression(C=np.inf).fit(begun.odds.reshape(-1, 1), begun.run.labels.ravel())
    scale, shift = regression.coef_.item(), regression.intercept_.item()
    assert (scale, shift) == pytest.approx((0.6, -0.7), abs=0.06)
    assert odds_of(begun.run, source) == pytest.approx(scale * before + shift, abs=5e-3)
    assert found.odds == pytest.approx(scale * begun.odds + shift, abs=5e-3)


def test_few_labels_change_little() -> None:
    changes = []
    for known in (2, 20, 200):
        begun, source = trained()
        before, begun = odds_of(begun.run, source), told(begun, 0.6, -0.7)
        begun.odds[known:] = np.nan
        recalibrate(begun)
        changes.append(np.abs(odds_of(begun.run, source) - before).mean())
    assert changes[0] < 0.3 * changes[1] < 0.3 * changes[2]


def test_rankings_stay_and_sides_too() -> None:
    begun, source = trained()
    before = odds_of(begun.run, source)
    sides = [begun.run.recognizer.presence.embedding.clone(), begun.run.recognizer.absence.embedding.clone()]
    recalibrate(begun)
    assert (np.argsort(odds_of(begun.run, source), axis=0) == np.argsort(before, axis=0)).all()
    assert torch.equal(begun.run.recognizer.presence.embedding, sides[0])
    assert torch.equal(begun.run.recognizer.absence.embedding, sides[1])


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("right", {"prior_strength": "infinite"}), ("right", {"prior_strength": 500.0}), ("ticks", {})],
)
def test_where_the_folds_say_nothing_it_stays(kind: str, changes: dict) -> None:
    """Zero-shot, a strength that was asked for, and ticks: what is absent is never said."""
    begun, source = trained(kind=kind, **changes)
    before = odds_of(begun.run, source)
    assert recalibrate(begun) is begun
    assert (odds_of(begun.run, source) == before).all()


def test_unknown_labels_have_no_say() -> None:
    begun, source = trained()
    labels, odds = begun.run.labels, begun.odds
    assert (np.isfinite(odds) == (labels != UNKNOWN)).all()
    assert np.isfinite(odds_of(begun.run, source)).all()
    found = recalibrate(begun)
    assert (np.isfinite(found.odds) == np.isfinite(odds)).all()
    assert np.isfinite(odds_of(begun.run, source)).all()
