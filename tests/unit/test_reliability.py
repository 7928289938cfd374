"""Reliability: shares by bin, the calibration error, and what an overconfident recognizer looks like."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from promptmlr.labels import UNKNOWN
from promptmlr.reliability import reliability, reliability_figure


def drawn(count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    probabilities = rng.random((count, 2))
    return probabilities, (rng.random(probabilities.shape) < probabilities).astype(np.int8)


def test_probabilities_that_say_how_often_have_no_error() -> None:
    found = reliability(*drawn())
    assert found.calibration_error < 0.01
    assert len(found.bins) == 10
    for one in found.bins:
        assert one.low <= one.present <= one.high
        assert one.present == pytest.approx(one.probability, abs=0.03)
    covered = [one.low <= one.probability <= one.high for one in found.bins]
    assert sum(covered) >= 8


def test_overconfidence_is_seen() -> None:
    probabilities, labels = drawn()
    sure = np.where(probabilities > 0.5, 0.98, 0.02)
    found = reliability(sure, labels)
    assert found.calibration_error == pytest.approx(0.23, abs=0.02)
    assert [one.present for one in found.bins] == pytest.approx([0.25, 0.75], abs=0.02)
    assert sum(one.labels for one in found.bins) == labels.size


def test_scores_are_those_of_scikit_learn() -> None:
    probabilities, labels = drawn(500)
    expected = brier_score_loss(labels.ravel(), probabilities.ravel())
    assert reliability(probabilities, labels).brier == pytest.approx(expected)


def test_unknown_labels_are_left_out_and_ends_belong_to_bins() -> None:
    found = reliability(np.array([[0.0, 1.0, 0.5]]), np.array([[0, 1, UNKNOWN]], np.int8))
    assert [(one.labels, one.present) for one in found.bins] == [(1, 0.0), (1, 1.0)]
    assert found.calibration_error == 0
    assert all(0 <= one.low <= one.high <= 1 for one in found.bins)


def test_the_figure_has_a_line_for_each() -> None:
    curve = reliability(*drawn(100))
    legend = reliability_figure({"as trained": curve, "calibrated": curve}).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["as trained", "calibrated"]
