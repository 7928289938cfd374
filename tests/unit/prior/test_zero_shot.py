"""Zero-shot as log odds: what is said without labels, with a few and with many, and where the level comes from."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from promptmlr.labels import UNKNOWN, Labels
from promptmlr.prior.zero_shot import CENTRES, SPREADS, Moments, assumed_share, fit_scaling, level_shift
from promptmlr.unknown import UNKNOWN_COSTS


def drawn(images: int, scale, odds, seed: int = 0) -> tuple[np.ndarray, Labels]:
    """Margins whose mean and spread differ from class to class, and labels drawn at known scale and mean log odds."""
    rng = np.random.default_rng(seed)
    classes = len(scale)
    margins = rng.normal(rng.normal(0, 3, classes), np.exp(rng.normal(0.5, 0.3, classes)), (images, classes))
    centred = margins - margins.mean(axis=0)
    return margins, (rng.random(margins.shape) < expit(np.array(scale) * centred + np.array(odds))).astype(np.int8)


def hidden(labels: Labels, known: float, seed: int = 1) -> Labels:
    return np.where(np.random.default_rng(seed).random(labels.shape) < known, labels, np.int8(UNKNOWN))


def odds_of(scaling, margins: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return scaling(torch.from_numpy(margins).float()).double().numpy()


def prior_lines(margins: np.ndarray, common) -> tuple[np.ndarray, np.ndarray]:
    """(C,) log scale and log odds at the mean margin, of log scale, shift, centring and evening in common."""
    mean, log_spread = margins.mean(axis=0), np.log(margins.std(axis=0))
    log_scale = common[0] - common[3] * (log_spread - log_spread.mean())
    return log_scale, common[1] + np.exp(log_scale) * (1 - common[2]) * (mean - mean.mean())


def test_without_labels_it_is_the_mean_of_its_prior() -> None:
    """Two classes an image; a part of the differences in mean and spread is left out."""
    margins, labels = drawn(300, [1] * 20, [0] * 20)
    scaling, _ = fit_scaling(margins, np.full_like(labels, UNKNOWN), Moments.of(margins))
    log_scale, shift = prior_lines(margins, (CENTRES[0], logit(2 / 20), *CENTRES[2:]))
    np.testing.assert_allclose(scaling.log_scale.detach(), log_scale, rtol=1e-5)
    np.testing.assert_allclose(scaling.shift.detach(), shift, rtol=1e-5)
    np.testing.assert_allclose(scaling.centre, margins.mean(axis=0), rtol=1e-5)
    assert torch.equal(scaling.prior_shift, scaling.shift)
    assert torch.equal(scaling.prior_log_scale, scaling.log_scale)


@pytest.mark.parametrize(("classes", "share"), [(1, 0.2), (5, 0.2), (10, 0.2), (20, 0.1), (80, 0.025)])
def test_the_share_that_is_assumed_is_two_labels_an_image_and_at_most_a_fifth(classes: int, share: float) -> None:
    assert assumed_share(classes) == pytest.approx(share)


def test_lines_are_found_where_labels_are_many() -> None:
    scale, odds = np.array([0.3, 0.8, 1.5, 0.5]), np.array([-2.0, 0.5, -1.0, 2.0])
    margins, labels = drawn(20_000, scale, odds)
    scaling, _ = fit_scaling(margins, labels, Moments.of(margins))
    np.testing.assert_allclose(scaling.log_scale.exp().detach(), scale, rtol=0.06)
    np.testing.assert_allclose(scaling.shift.detach(), odds, atol=0.08)


def test_one_class_with_many_labels_is_logistic_regression() -> None:
    margins, labels = drawn(5_000, [0.7], [-1.0])
    regression = LogisticRegression(C=np.inf).fit(margins, labels[:, 0])
    scale, shift = fit_scaling(margins, labels, Moments.of(margins))[0].line()
    assert scale.item() == pytest.approx(regression.coef_[0, 0], rel=0.01)
    assert shift.item() == pytest.approx(regression.intercept_[0], rel=0.02)


def test_with_some_labels_it_is_the_maximum_a_posteriori() -> None:
    """Its lines reach what scipy finds on the same posterior, written in numpy."""
    margins, labels = drawn(80, [0.8, 0.3, 0.6], [-1, -2, 0])
    labels = hidden(labels, 0.3)
    centres, spreads = np.array([CENTRES[0], logit(0.2), *CENTRES[2:]]), np.array(SPREADS)
    known, sign = labels != UNKNOWN, np.where(labels == 1, 1.0, -1.0)

    def parts(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_scale, shift = prior_lines(margins, point[:4])
        return log_scale + point[4:7], shift + point[7:]

    def negative_log_posterior(point: np.ndarray) -> float:
        log_scale, shift = parts(point)
        odds = np.exp(log_scale) * (margins - margins.mean(axis=0)) + shift
        total = np.logaddexp(0, -sign * odds)[known].sum() + (((point[:4] - centres) / spreads) ** 2).sum() / 2
        for own, spread, common in ((point[4:7], 0.5, 0.7), (point[7:], 1.0, 2.0)):
            total += (((own - own.mean()) / spread) ** 2).sum() / 2 + (own.mean() / common) ** 2 / 2
        return total

    best = minimize(negative_log_posterior, np.concatenate([centres, np.zeros(6)]), method="BFGS").x
    scaling, common = fit_scaling(margins, labels, Moments.of(margins))
    found = np.stack([scaling.log_scale.detach().numpy(), scaling.shift.detach().numpy()])
    np.testing.assert_allclose(found, np.stack(parts(best)), atol=2e-3)
    shared = best[:4] + np.array([best[4:7].mean(), best[7:].mean(), 0, 0])  # with what all classes have of their own
    assert [common.log_scale, common.shift, common.centring, common.evening] == pytest.approx(shared, abs=5e-3)


def test_a_class_without_labels_has_the_common_line() -> None:
    margins, labels = drawn(500, [0.4] * 6, [-3] * 6)
    labels[:, 2] = UNKNOWN
    scaling, common = fit_scaling(margins, labels, Moments.of(margins))
    own = (scaling.shift - scaling.prior_shift).detach()
    own_scale = (scaling.log_scale - scaling.prior_log_scale).detach().mean().item()
    before = [common.log_scale - own_scale, common.shift - own.mean().item(), common.centring, common.evening]
    log_scale, shift = prior_lines(margins, before)
    others = [0, 1, 3, 4, 5]
    assert scaling.shift[2].item() == pytest.approx(scaling.shift[others].mean().item(), abs=0.7)
    assert scaling.prior_log_scale[2].item() == pytest.approx(log_scale[2], abs=1e-4)
    assert scaling.prior_shift[2].item() == pytest.approx(shift[2], abs=1e-4)
    # where the penalty has no slope along it: with the others, but for what it pays of the common prior
    assert own[2].item() == pytest.approx(own.mean().item() * (1 - (1.0 / 2.0) ** 2 / 6), abs=2e-3)


def test_the_common_line_follows_the_labels() -> None:
    """A class nobody labelled is rare where the others are, and common where they are."""
    margins, rare = drawn(500, [0.4] * 6, [-3] * 6)
    _, common = drawn(500, [0.4] * 6, [1] * 6)
    for labels in (rare, common):
        labels[:, 2] = UNKNOWN
    first, second = (
        odds_of(fit_scaling(margins, labels, Moments.of(margins))[0], margins)[:, 2] for labels in (rare, common)
    )
    assert expit(first).mean() < 0.15 < 0.5 < expit(second).mean()


def test_a_class_that_clip_words_strongly_is_not_taken_for_a_frequent_one() -> None:
    """A constant on all margins of a class is mostly undone, and so is a factor; without any label."""
    margins, labels = drawn(400, [1] * 8, [0] * 8)
    labels[:] = UNKNOWN
    plain = odds_of(fit_scaling(margins, labels, Moments.of(margins))[0], margins)
    moved = margins.copy()
    moved[:, 3] += 5.0
    scale = fit_scaling(moved, labels, Moments.of(moved))[0].line()[0][3].item()
    change = odds_of(fit_scaling(moved, labels, Moments.of(moved))[0], moved)[:, 3] - plain[:, 3]
    assert 0 < change.mean() < 1.05 * (1 - CENTRES[2]) * scale * 5 < 0.5 * scale * 5
    assert change.std() < 0.01

    wide = margins.copy()
    wide[:, 3] = wide[:, 3].mean() + 4 * (wide[:, 3] - wide[:, 3].mean())
    spread = odds_of(fit_scaling(wide, labels, Moments.of(wide))[0], wide)[:, 3].std()
    assert plain[:, 3].std() < spread < 2 * plain[:, 3].std()


@pytest.mark.parametrize("unknown", sorted(set(UNKNOWN_COSTS) - {"ignore"}))
def test_ticks_give_lines_that_are_finite(unknown: str) -> None:
    margins, labels = drawn(300, [0.8] * 6, [-2] * 6)
    ticks = np.where(labels == 1, labels, np.int8(UNKNOWN))
    scaling, _ = fit_scaling(margins, ticks, Moments.of(margins), unknown)
    assert all(tensor.isfinite().all() for tensor in scaling.state_dict().values())
    present = expit(odds_of(scaling, margins))
    if unknown != "entropy":  # which says nothing of how many there are
        assert 0.05 < present.mean() < 0.5
    ignored = fit_scaling(margins, ticks, Moments.of(margins))[0]
    assert present.mean() < expit(odds_of(ignored, margins)).mean()


def test_unknown_labels_cost_nothing_but_in_the_counted_classes() -> None:
    margins, labels = drawn(200, [0.8] * 4, [-1] * 4)
    labels = hidden(labels, 0.4)
    moments = Moments.of(margins)
    free = fit_scaling(margins, labels, moments)[0]
    none = fit_scaling(margins, labels, moments, "absent", np.zeros(4, dtype=np.bool_))[0]
    first = fit_scaling(margins, labels, moments, "absent", np.array([True, False, False, False]))[0]
    assert torch.equal(none.shift, free.shift)
    drop = (free.shift - first.shift).detach()
    assert drop[0] > 0.3
    assert drop[1:].max() < drop[0] / 2


def test_images_without_a_known_label_change_nothing_but_moments() -> None:
    margins, labels = drawn(300, [0.8] * 4, [-1] * 4)
    labels = hidden(labels, 0.3)
    labels[200:] = UNKNOWN
    moments = Moments.of(margins)
    whole, part = fit_scaling(margins, labels, moments)[0], fit_scaling(margins[:200], labels[:200], moments)[0]
    assert torch.equal(whole.shift, part.shift)
    assert torch.equal(whole.log_scale, part.log_scale)


def test_one_image_has_a_spread_too() -> None:
    moments = Moments.of(np.array([[3.0, -1.0]]))
    scaling, _ = fit_scaling(np.array([[3.0, -1.0]]), np.array([[1, -1]], np.int8), moments)
    assert all(tensor.isfinite().all() for tensor in scaling.state_dict().values())


def test_the_level_is_the_share_that_was_asked_for() -> None:
    odds = np.random.default_rng(0).normal(-1, 3, (500, 4))
    shift = level_shift(odds, 0.25)
    assert np.ptp(shift) == 0
    assert expit(odds + shift).mean() == pytest.approx(0.25, abs=1e-9)
    wanted = np.array([0.01, 0.2, 0.5, 0.97])
    shift = level_shift(odds, wanted)
    np.testing.assert_allclose(expit(odds + shift).mean(axis=0), wanted, atol=1e-9)
    assert np.ptp(shift) > 1
