"""bench/coverage.py: its true values are those of its samples, and the intervals that it counts hold them."""

import numpy as np
import pytest
from coverage_worlds import WORLDS, World

from promptmlr.evaluation import average_precision, evaluate
from promptmlr.labels import PRESENT, UNKNOWN


@pytest.mark.parametrize("name", WORLDS)
def test_the_true_map_is_that_of_a_large_sample(name: str) -> None:
    world, rng = WORLDS[name](3), np.random.default_rng(0)
    _, truth = world.labels(200_000, rng)
    scores = world.scores(truth, rng)
    aps = [average_precision(scores[:, c], truth[:, c]) for c in range(3)]
    assert world.true_map(np.ones(3, bool)) == pytest.approx(np.mean(aps), abs=0.01)
    assert (truth == PRESENT).mean(axis=0) == pytest.approx(world.prevalence, abs=0.005)


def test_the_true_map_is_the_mean_of_the_classes_asked_for() -> None:
    world, every = World(3, 1.0), np.eye(3, dtype=bool)
    each = [world.true_map(one) for one in every]
    assert len(set(each)) == 3
    assert world.true_map(every[0] | every[2]) == pytest.approx((each[0] + each[2]) / 2)
    assert world.true_map(every[1], 0.5) == pytest.approx(World(3, 1.5).true_map(every[1])) != each[1]


def test_hidden_labels_are_hidden_at_random() -> None:
    labels, truth = World(4, 1.0, known=0.5).labels(20_000, np.random.default_rng(1))
    known = labels != UNKNOWN
    assert known.mean() == pytest.approx(0.5, abs=0.01)
    assert (labels[known] == truth[known]).all()


@pytest.mark.parametrize("images", [100, 400])
def test_the_populations_interval_holds_the_truth_and_the_tests_own_does_not(images: int) -> None:
    """Over 60 sets, with room for chance: 95 % misses five in the mean, and ten in one case of fifty."""
    world, rng, names = World(20, 2.0), np.random.default_rng(images), [str(c) for c in range(20)]
    held, own, bias, plain = [], [], [], []
    for number in range(60):
        labels, truth = world.labels(images, rng)
        result = evaluate(world.scores(truth, rng), labels, names, resamples=100, seed=number)
        true = world.true_map((labels == PRESENT).any(axis=0))
        held.append(result.population_interval[0] <= true <= result.population_interval[1])
        own.append(result.mean_ap_interval[0] <= true <= result.mean_ap_interval[1])
        bias.append(result.population_map - true)
        plain.append(result.mean_ap - true)
    assert np.mean(held) >= 0.85
    assert np.mean(own) < np.mean(held)
    assert abs(np.mean(bias)) < 0.5 * np.mean(plain)
