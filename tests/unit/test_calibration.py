"""Calibration: known lines are found, few labels are drawn to the common line, rankings stay, files hold it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from promptmlr.calibration import (
    CalibratedRecognizer,
    Calibration,
    fit_calibration,
    log_loss,
    margins,
)
from promptmlr.errors import UserError
from promptmlr.functional import presence_probability
from promptmlr.labels import UNKNOWN, Labels
from promptmlr.recognizer import Recognizer
from promptmlr.sides import EmbeddingSide
from promptmlr.thresholds import expected_f1_thresholds


def drawn(images: int, scale, shift, seed: int = 0) -> tuple[np.ndarray, Labels]:
    """Margins as of an overconfident recognizer, and labels whose probabilities follow the lines."""
    rng = np.random.default_rng(seed)
    found = rng.normal(0, 15, (images, len(scale)))
    present = rng.random(found.shape) < expit(np.array(scale) * found + np.array(shift))
    return found, present.astype(np.int8)


def fitted(found: np.ndarray, labels: Labels) -> Calibration:
    return fit_calibration(found, labels, np.ones_like(labels, dtype=np.bool_))


def test_lines_are_found_where_labels_are_many() -> None:
    scale, shift = [0.1, 0.3, 0.1, 0.2], [-2.0, 1.0, 0.0, -1.0]
    found, labels = drawn(20_000, scale, shift)
    calibration = fitted(found, labels)
    assert calibration.scale == pytest.approx(scale, rel=0.1)
    assert calibration.shift == pytest.approx(shift, abs=0.15)
    assert calibration.log_loss_after is not None
    assert calibration.log_loss_after < calibration.log_loss_before / 2
    assert calibration.present == tuple(labels.sum(axis=0))
    assert calibration.absent == tuple((1 - labels).sum(axis=0))


def test_one_class_agrees_with_logistic_regression() -> None:
    found, labels = drawn(5_000, [0.2], [-1.0])
    regression = LogisticRegression(C=np.inf).fit(found, labels[:, 0])
    calibration = fitted(found, labels)
    assert calibration.scale[0] == pytest.approx(regression.coef_[0, 0], rel=0.01)
    assert calibration.shift[0] == pytest.approx(regression.intercept_[0], rel=0.02)


def test_a_class_without_labels_takes_the_common_line() -> None:
    found, labels = drawn(400, [0.2] * 6, [-1.0] * 6)
    labels[:, 3] = UNKNOWN
    calibration = fitted(found, labels)
    others = [c for c in range(6) if c != 3]
    assert (
        min(calibration.scale[c] for c in others) <= calibration.scale[3] <= max(calibration.scale[c] for c in others)
    )
    assert calibration.present[3] == calibration.absent[3] == 0


def test_classes_that_agree_share_a_line_and_others_do_not() -> None:
    same = fitted(*drawn(150, [0.15] * 8, [-1.0] * 8))
    different = fitted(*drawn(1_000, [0.15] * 8, np.linspace(-4, 4, 8)))
    assert same.spread < different.spread
    assert np.ptp(same.shift) < 0.7
    assert np.ptp(different.shift) == pytest.approx(8, rel=0.2)


def test_folds_are_of_images_so_copies_of_a_label_do_not_help() -> None:
    """Every image ten times over, as ten classes of equal margin: nothing is known of a class but of its image."""
    rng = np.random.default_rng(0)
    found = np.repeat(rng.normal(0, 15, (60, 1)), 10, axis=1)
    labels = np.repeat((rng.random((60, 1)) < 0.5).astype(np.int8), 10, axis=1)
    calibration = fitted(found, labels)
    assert calibration.log_loss_after is not None
    assert calibration.log_loss_after > 0.6  # nothing is to be learned: ln 2 and a little


def test_probabilities_say_how_often() -> None:
    found, labels = drawn(4_000, [0.1, 0.4], [-1.0, 0.5])
    calibration = fitted(found[:2_000], labels[:2_000])
    probabilities, held = calibration.probabilities(found[2_000:]), labels[2_000:]
    for low in np.arange(0, 1, 0.2):
        inside = (probabilities >= low) & (probabilities < low + 0.2)
        assert held[inside].mean() == pytest.approx(probabilities[inside].mean(), abs=0.06)


def test_thresholds_are_half_of_the_best_expected_f1() -> None:
    found, labels = drawn(20_000, [0.3], [-1.5])
    calibration = fitted(found, labels)
    probabilities, present = calibration.probabilities(found)[:, 0], labels[:, 0] == 1

    def f1(threshold: float) -> float:
        claimed = probabilities > threshold
        return 2 * (claimed & present).sum() / (claimed.sum() + present.sum())

    best = max(np.arange(0.02, 0.98, 0.02), key=f1)
    assert calibration.thresholds[0] == pytest.approx(f1(best) / 2, abs=0.02)
    assert f1(calibration.thresholds[0]) > f1(best) - 0.005


@pytest.mark.parametrize("sureness", [0.0, 0.05, 0.2])
def test_who_knows_little_does_not_predict_everything(sureness: float) -> None:
    """Greatest expected F1 would be that of nearly all images; 1.2 times as many as are expected is the most."""
    rng = np.random.default_rng(0)
    probabilities = expit(rng.normal(-2, 1, (5_000, 3)) * sureness - 2 * (1 - sureness))
    everywhere = np.ones(probabilities.shape, dtype=np.bool_)
    predicted = (probabilities > expected_f1_thresholds(probabilities, everywhere)).sum(axis=0)
    assert (predicted <= np.ceil(1.2 * probabilities.sum(axis=0))).all()
    assert sureness == 0 or (predicted >= probabilities.sum(axis=0)).all()


def test_thresholds_count_what_training_did_not_see_alone() -> None:
    found, labels = drawn(2_000, [0.3, 0.3], [-1.5, -1.5])
    unseen = np.ones(labels.shape, dtype=np.bool_)
    unseen[:1_000] = False
    changed = found.copy()
    changed[:1_000] += 40  # sure of all it was trained on
    held = np.where(unseen, labels, np.int8(UNKNOWN))
    assert fit_calibration(changed, held, unseen) == fit_calibration(found, held, unseen)


@pytest.mark.parametrize("value", [0, 1, UNKNOWN])
def test_labels_of_one_kind_are_refused(value: int) -> None:
    with pytest.raises(UserError, match="labels of both kinds"):
        fitted(np.zeros((5, 2)), np.full((5, 2), value, np.int8))


@pytest.mark.parametrize("known", [2, 3, 7])
def test_a_handful_of_labels_is_enough_to_go_on(known: int) -> None:
    found, labels = drawn(known, [0.2], [0.0], seed=3)
    labels[:2, 0] = (0, 1)
    calibration = fitted(found, labels)
    assert all(0 < threshold < 1 for threshold in calibration.thresholds)
    assert np.isfinite(calibration.scale).all()


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(4, 60), st.floats(0.1, 200))
def test_calibration_keeps_the_ranking_of_images(seed: int, classes: int, images: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    found = rng.normal(0, size, (images, classes))
    labels = rng.integers(-1, 2, found.shape).astype(np.int8)
    labels[0, 0], labels[1, 0] = 0, 1
    calibration = fitted(found, labels)
    assert all(scale > 0 for scale in calibration.scale)
    lined = np.array(calibration.scale) * found + np.array(calibration.shift)
    assert (lined.argsort(axis=0) == found.argsort(axis=0)).all()


def test_a_calibrated_recognizer_gives_these_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    sides = [EmbeddingSide(torch.randn(3, 8, generator=generator)) for _ in range(2)]
    recognizer = Recognizer(sides[0], sides[1], ["a", "b", "c"])
    regions = torch.randn(5, 4, 8, generator=generator)
    calibration = fitted(*drawn(300, [0.1, 0.2, 0.3], [-1.0, 0.0, 1.0]))
    calibrated = CalibratedRecognizer(recognizer, calibration)
    with torch.no_grad():
        raw = margins(recognizer(regions)).double().numpy()
        found = presence_probability(calibrated(regions)).numpy()
    assert found == pytest.approx(calibration.probabilities(raw), abs=1e-5)


def test_log_loss_is_that_of_the_probabilities() -> None:
    probabilities = np.array([0.9, 0.2, 0.5])
    present = np.array([True, False, True])
    expected = -np.log([0.9, 0.8, 0.5]).mean()
    assert log_loss(logit(probabilities), present) == pytest.approx(expected)


def test_files_are_checked() -> None:
    calibration = fitted(*drawn(50, [0.2, 0.2], [0.0, 0.0]))
    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration
    with pytest.raises(ValueError, match="different numbers of classes"):
        Calibration(**(calibration.model_dump() | {"scale": (1.0,)}))
    with pytest.raises(ValueError, match="greater than 0"):
        Calibration(**(calibration.model_dump() | {"scale": (1.0, 0.0)}))
    for name in ("scale", "shift"):  # whose margins would be no numbers
        with pytest.raises(ValueError, match="less than or equal to"):
            Calibration(**(calibration.model_dump() | {name: (1.0, 1e308)}))
