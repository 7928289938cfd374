"""Intervals of grids: do they hold the truth as often as they say, and are p-values what Holm makes of them?"""

import numpy as np
import pytest

from promptmlr.uncertainty import Alike, Estimate, estimate, holm


def simulated(rng: np.random.Generator, seeds: int, of_seeds: float, of_images: float, images: int = 60):
    """Two groups whose true difference is 1: noise of each seed, and of each image common to all seeds."""
    per_image = rng.normal(0, of_images, (2, 1, images)) + rng.normal(0, of_seeds, (2, seeds, 1))
    per_image[0] += 1
    chosen = rng.integers(images, size=(200, images))
    return per_image.mean(axis=2), per_image[:, :, chosen].mean(axis=3)


@pytest.mark.parametrize("seeds", [2, 3, 6])
@pytest.mark.parametrize(("of_seeds", "of_images"), [(0.0, 4.0), (0.5, 0.0), (0.5, 4.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds: int, of_seeds: float, of_images: float) -> None:
    rng = np.random.default_rng(0)
    found = [estimate(*simulated(rng, seeds, of_seeds, of_images), (1, -1), seed=i) for i in range(300)]
    covered = np.mean([one.low <= 1 <= one.high for one in found])
    assert 0.91 <= covered <= 0.99


def test_two_seeds_get_the_wide_interval_that_they_deserve() -> None:
    scores = np.array([[0.60, 0.64]])
    still = np.repeat(scores[:, :, None], 1000, axis=2)
    two = estimate(scores, still, [1])
    assert two.value == pytest.approx(0.62)
    assert two.high - two.value == pytest.approx(12.706 * 0.02, rel=0.1)  # t of one degree of freedom
    one = estimate(scores[:, :1], still[:, :1], [1])
    assert (one.low, one.high, one.seeds) == pytest.approx((0.6, 0.6, 1))


def test_two_seeds_are_drawn_often_enough() -> None:
    """The ends of two intervals over the same scores differ by chance alone, and by little."""
    scores, resampled = simulated(np.random.default_rng(5), 2, 0.5, 4.0)
    found = [estimate(scores, np.tile(resampled, 5), (1, -1), seed=seed) for seed in range(8)]
    lows = np.array([one.low for one in found])
    assert lows.std() < 0.01 * (found[0].high - found[0].low)


def test_one_seed_knows_no_more_than_its_resamples() -> None:
    scores, resampled = simulated(np.random.default_rng(4), 1, 0.0, 0.1)
    assert estimate(scores, resampled, (1, -1)).p == pytest.approx(1 / 201)


def test_a_difference_that_every_seed_and_image_shares_is_certain() -> None:
    rng = np.random.default_rng(1)
    low = rng.normal(0.5, 0.1, (1, 4))
    resampled = low[:, :, None] + rng.normal(0, 0.1, (1, 1, 500))
    scores, resampled = np.concatenate([low + 0.01, low]), np.concatenate([resampled + 0.01, resampled])
    difference = estimate(scores, resampled, (1, -1))
    assert (difference.value, difference.low, difference.high) == pytest.approx((0.01, 0.01, 0.01))
    assert not difference.within_noise
    assert difference.p == pytest.approx(1 / 10001)
    assert estimate(scores, resampled, (1, 0)).within_noise is False
    assert estimate(scores, resampled, (0, 0)).p == 1.0


def test_p_values_agree_with_intervals() -> None:
    rng = np.random.default_rng(2)
    for index in range(100):
        found = estimate(*simulated(rng, 3, 0.5, 4.0), (1, -1), seed=index)
        if not 0.045 < found.p < 0.055:
            assert found.within_noise == (found.p > 0.05)


def test_a_resample_without_a_score_is_left_out() -> None:
    scores, resampled = simulated(np.random.default_rng(3), 2, 0.1, 1.0)
    missing = np.concatenate([resampled, np.full_like(resampled[..., :1], np.nan)], axis=2)
    assert estimate(scores, missing, (1, -1)) == estimate(scores, resampled, (1, -1))


def test_holm_corrects_as_in_the_textbook() -> None:
    """The textbook's example: 0.01, 0.04, 0.03, 0.005 at four hypotheses."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("low", "high", "p_holm", "verdict"),
    [
        (0.01, 0.03, 0.01, "higher"),
        (-0.03, -0.01, 0.01, "lower"),
        (-0.01, 0.03, 0.9, "within noise"),
        (0.01, 0.03, 0.2, "undecided"),
    ],
)
def test_verdicts_know_intervals_and_tables_apart(low: float, high: float, p_holm: float, verdict: str) -> None:
    assert Estimate((low + high) / 2, low, high, 0.01, 5).verdict(p_holm) == verdict


def alike(spreads, seeds=3, independent=None):
    rng = np.random.default_rng(0)
    sums = np.array([spread * rng.standard_normal(seeds) for spread in spreads])
    return Alike(sums, independent or len(sums))


def test_a_variance_by_chance_is_raised_to_that_of_the_others():
    group = alike([0.01] * 12)
    variances = group.by_seed.var(axis=1, ddof=1)
    lowest, highest = variances.min(), variances.max()
    raised, freedom = group.moderated(lowest)
    assert lowest < raised < highest
    assert freedom > 2
    assert group.moderated(highest)[0] == highest  # never lowered


def test_variances_that_differ_are_hardly_shared():
    equal, unequal = alike([0.01] * 12), alike(np.geomspace(1e-4, 1, 12))
    smallest = unequal.by_seed.var(axis=1, ddof=1).min()
    raised, freedom = unequal.moderated(smallest)
    assert freedom < equal.moderated(smallest)[1]
    assert raised < 1e-2


def test_sums_that_do_not_vary_stay_certain():
    assert alike([0.01, 0.02, 0.0]).moderated(0.0) == (0.0, 2.0)
    assert alike([0.0, 0.0, 0.0]).moderated(0.0) == (0.0, 2.0)


def test_degrees_of_freedom_are_no_more_than_there_are():
    group = alike([0.01] * 12, independent=2)
    assert group.moderated(1e-4)[1] <= 2 * 2


def test_two_seeds_say_more_beside_others_like_them():
    rng = np.random.default_rng(1)
    scores = np.array([[0.49, 0.51]])
    resampled = scores[..., None] + 0.001 * rng.standard_normal((1, 2, 100))
    others = Alike(0.5 + 0.01 * rng.standard_normal((10, 2)), 10)
    alone, shared = (estimate(scores, resampled, [1], alike=which) for which in (None, others))
    assert shared.high - shared.low < (alone.high - alone.low) / 2


@pytest.mark.parametrize("more", [-1e-3, 0.0, 1e-9, 1e-3])
def test_variances_that_agree_exactly_as_chance_has_it_are_shared(more):
    """Logarithms of two variances with one degree of freedom that vary as chance does, and a little more or less."""
    apart = np.exp(np.sqrt(2 * (np.pi**2 / 2 + more)))  # the ratio of the two
    group = Alike(np.array([[0.0, 0.01], [0.0, 0.01 * np.sqrt(apart)]]), 2)
    raised, freedom = group.moderated(0.01**2 / 2)
    assert raised > 0.01**2 / 2
    assert freedom == pytest.approx(2, abs=0.01)
