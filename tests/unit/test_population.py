"""The mAP on all images: what it does where little, nothing or everything is known."""

import numpy as np
import pytest

from promptmlr.population import population_map


def estimate_of(aps, positives, absents, spread=0.02):
    rng = np.random.default_rng(0)
    aps = np.asarray(aps, dtype=float)
    resampled = np.clip(aps[:, None] + spread * rng.standard_normal((len(aps), 200)), 0, 1)
    return population_map(aps, resampled, np.asarray(positives), np.asarray(absents))


def test_few_positives_are_corrected_by_more_than_many():
    few, many = estimate_of([0.6] * 4, [6] * 4, [94] * 4), estimate_of([0.6] * 4, [600] * 4, [9400] * 4)
    assert 0.02 < 0.6 - few.value < 0.2
    assert 0 <= 0.6 - many.value < 0.005
    assert few.high - few.low > many.high - many.low


def test_the_bias_falls_with_the_positives_without_a_jump_where_the_model_ends():
    positives = [80, 90, 100, 101, 110, 200, 400]
    gaps = [0.5 - estimate_of([0.5], [p], [9 * p]).value for p in positives]
    assert all(0 < gap < 0.02 for gap in gaps)
    assert gaps[-1] < gaps[0] / 2
    assert gaps[3] == pytest.approx(gaps[2], abs=0.001)


def test_a_class_without_absent_labels_is_certain():
    alone = estimate_of([1.0], [5], [0], spread=0)
    assert (alone.value, alone.low, alone.high) == (1.0, 1.0, 1.0)


def test_a_lucky_class_is_not_taken_for_a_certain_one():
    """Two positives on top of the ranking, beside classes that are ranked less well."""
    lucky = estimate_of([1.0, 0.4, 0.4], [2, 40, 40], [98, 60, 60], spread=0)
    assert lucky.high - lucky.low > 0.2


def test_ends_are_scores():
    narrow = estimate_of([0.99, 1.0], [1, 1], [3, 3], spread=0.2)
    assert 0 <= narrow.low <= narrow.value <= narrow.high <= 1


def test_nothing_resampled_is_nothing_known():
    nothing = population_map(np.array([0.5]), np.empty((1, 0)), np.array([5]), np.array([50]))
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


def test_more_confidence_is_wider():
    rng = np.random.default_rng(0)
    args = np.array([0.6, 0.5]), 0.5 + 0.05 * rng.standard_normal((2, 300)), np.array([20, 30]), np.array([80, 70])
    wide, narrow = population_map(*args, confidence=0.99), population_map(*args, confidence=0.8)
    assert wide.low < narrow.low
    assert wide.high > narrow.high
    assert wide.value == narrow.value


def test_the_model_of_the_bias_is_doubted_by_a_third_of_the_correction():
    """Many classes leave little else."""
    found = estimate_of([0.6] * 400, [6] * 400, [94] * 400)
    correction = 0.6 - found.value
    assert correction > 0.03
    assert found.high - found.value > 1.96 * correction / 3
