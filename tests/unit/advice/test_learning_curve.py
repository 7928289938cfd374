"""Curves: what a known curve says ahead is found, with an interval; nested labels; the same test labels."""

import re
from itertools import pairwise

import numpy as np
import pytest

from promptmlr.advice import learning_curve as module
from promptmlr.advice.curve_report import CurveOutputs
from promptmlr.advice.learning_curve import Curve, learning_curve
from promptmlr.crossvalidation import Subject
from promptmlr.errors import UserError
from promptmlr.labels import PRESENT, UNKNOWN, Observation, hide, keep_mask
from promptmlr.recipes import load_recipe
from promptmlr.regions import InMemoryRegions
from promptmlr.report.findings import as_text

SHARES = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 0.75, 1.0]


def curve(floor: float, gain: float, rate: float, noise: float, seed: int = 0) -> Curve:
    """Of a learner whose 1 − mAP is floor + gain · (n / 1000)^−rate, with noise of seeds and of test images."""
    rng = np.random.default_rng(seed)
    counts = np.round(1000 * np.array(SHARES)).astype(int)
    truth = 1 - floor - gain * (counts / 1000) ** -rate
    scores = truth[:, None] + rng.normal(0, noise, (6, 4))
    images = rng.normal(0, noise, (1, 1, 100))
    return module.curve_of(SHARES, counts, scores, scores[..., None] + images, 500)


def parts(*shares: float) -> list[Observation]:
    return [Observation("fraction", share) for share in shares]


def test_a_known_curve_is_followed() -> None:
    found = curve(0.2, 0.1, 0.5, noise=0.0005)
    ten = found.ahead[1]
    assert ten.labels == 10_000
    expected = 1 - 0.2 - 0.1 * 10**-0.5
    assert ten.mean_ap == pytest.approx(expected, abs=0.02)
    assert ten.low <= expected <= ten.high
    assert [point.labels for point in found.points] == [62, 125, 250, 500, 750, 1000]


def test_ahead_intervals_hold_the_truth_and_grow() -> None:
    expected = 1 - 0.1 - 0.15 * 10**-0.4
    found = [curve(0.1, 0.15, 0.4, noise=0.01, seed=seed) for seed in range(12)]
    assert sum(one.ahead[1].low <= expected <= one.ahead[1].high for one in found) >= 10
    for one in found:
        last = one.points[-1]
        assert one.ahead[1].high - one.ahead[1].low > last.high - last.low


def test_few_seeds_leave_more_open_ahead_than_many() -> None:
    """Of two seeds nobody knows how far they spread, as the intervals of the points say too."""
    rng = np.random.default_rng(0)
    counts = np.round(1000 * np.array(SHARES)).astype(int)
    widths = []
    for seeds in (2, 8):
        scores = np.tile(0.5 + np.array([0.02, -0.02]), (6, seeds // 2)) * np.sqrt(seeds - 1)  # the same standard error
        scores = scores - scores.mean(axis=1, keepdims=True) + 0.5
        found = module.curve_of(SHARES, counts, scores, scores[..., None] + rng.normal(0, 1e-4, (1, 1, 400)), 500)
        widths.append(found.ahead[0].high - found.ahead[0].low)
    assert widths[0] > 1.5 * widths[1]


def test_it_is_tested_on_what_is_known() -> None:
    held = curve(0.1, 0.1, 0.5, noise=0.002, seed=1)
    assert held.backtest is not None
    assert held.backtest.labels == 1000
    assert held.backtest.low <= held.points[-1].mean_ap <= held.backtest.high
    text = " ".join(as_text(CurveOutputs(held, "baseline", "photos").findings()).split())
    assert "at 1,000, 4 times as many" in text
    assert re.search(r"measured is [\d.]+: inside that interval of \d+ points", text)


def test_labels_are_left_out_at_random_and_nested(monkeypatch, scenes_backbone) -> None:
    """Also where a mask of the same seeds hid the others before."""
    labels = np.ones((500, 4), np.int8)
    labels[::2] = 0
    labels = hide(labels, keep_mask(labels.shape, 0.3, 0))
    seen = []

    def margins(subject, parts, method, recipe, test):
        seen.append(parts)
        return [np.random.default_rng(0).normal(size=(50, 4)) for _ in parts]

    monkeypatch.setattr(module, "_margins", margins)
    source = InMemoryRegions(np.zeros((1,)))
    tested = (source, np.tile(np.array([[0], [1]], np.int8), (25, 4)))
    subject = Subject(scenes_backbone, ["a", "b", "c", "d"], source, labels)
    found = learning_curve(subject, tested, "baseline", load_recipe("default", "baseline"), parts=parts(0.25, 0.5, 1.0))
    known = int((labels != UNKNOWN).sum())
    assert [point.labels for point in found.points] == pytest.approx([known / 4, known / 2, known], rel=0.15)
    assert found.points[-1].labels == known
    for fewer, more in pairwise(seen):
        for one, other in zip(fewer, more, strict=True):
            assert (other[one != UNKNOWN] == one[one != UNKNOWN]).all()
    assert found.backtest is None
    assert (seen[0][0] != seen[0][1]).any()


def test_what_gives_no_curve_is_refused(scenes_backbone) -> None:
    source = InMemoryRegions(np.zeros((1,)))
    subject = Subject(scenes_backbone, ["a"], source, np.zeros((1, 1), np.int8))
    recipe = load_recipe("default", "baseline")
    with pytest.raises(UserError, match="at least 3 points"):
        learning_curve(subject, (source, np.full((1, 1), PRESENT)), "baseline", recipe, parts=parts(0.5, 1.0))
    with pytest.raises(UserError, match="no test label is present"):
        learning_curve(subject, (source, np.zeros((1, 1), np.int8)), "baseline", recipe, parts=parts(0.2, 0.5, 1.0))
