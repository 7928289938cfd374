import hashlib

import numpy as np
import pytest

from promptmlr.errors import UserError
from promptmlr.labels import PRESENT, UNKNOWN, Observation, hide, hold_out, keep_mask, mask_hash


def test_keep_mask_is_the_documented_draw():
    expected = np.random.default_rng(7).random((5, 4)) < 0.3
    np.testing.assert_array_equal(keep_mask((5, 4), 0.3, 7), expected)


def test_a_fraction_of_one_keeps_everything():
    assert keep_mask((50, 20), 1, 0).all()


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, 10, float("nan")])
def test_fractions_outside_0_1_are_refused(fraction):
    with pytest.raises(UserError, match=r"outside \(0, 1\]"):
        keep_mask((2, 2), fraction, 0)


def test_hide_makes_unknown_and_leaves_its_input_alone():
    labels = np.array([[1, 0], [-1, 1]], dtype=np.int8)
    hidden = hide(labels, np.array([[True, False], [True, False]]))
    np.testing.assert_array_equal(hidden, [[1, -1], [-1, -1]])
    assert hidden.dtype == np.int8
    assert labels[0, 1] == 0


def test_hide_refuses_a_mask_of_another_shape():
    with pytest.raises(UserError, match="does not fit"):
        hide(np.zeros((2, 2), np.int8), np.ones((2, 1), bool))


def test_mask_hash_is_sha256_over_shape_and_packed_bits():
    keep = np.array([[True, False, True], [False, False, True]])
    content = (2).to_bytes(8, "little") + (3).to_bytes(8, "little") + bytes([0b10100100])
    assert mask_hash(keep) == hashlib.sha256(content).hexdigest()


def test_mask_hash_tells_shapes_apart():
    keep = np.ones((2, 4), bool)
    assert len({mask_hash(keep), mask_hash(keep.reshape(4, 2)), mask_hash(np.ones((1, 8), bool))}) == 3


def test_hold_out_takes_its_share_of_what_a_mask_of_the_same_seed_kept():
    labels = hide(np.zeros((400, 20), np.int8), keep_mask((400, 20), 0.1, 3))
    fit, held = hold_out(labels, 0.1, 3)
    observed = np.count_nonzero(labels != UNKNOWN)
    assert np.count_nonzero(held != UNKNOWN) == round(0.1 * observed)
    assert np.count_nonzero(fit != UNKNOWN) == observed - round(0.1 * observed)


@pytest.mark.parametrize("fraction", [0, 1, 1.5, float("nan")])
def test_hold_out_refuses_to_take_nothing_or_all(fraction):
    with pytest.raises(UserError, match=r"outside \(0, 1\)"):
        hold_out(np.ones((4, 4), np.int8), fraction, 0)


def test_hold_out_needs_two_observed_labels():
    labels = np.full((3, 3), UNKNOWN, np.int8)
    labels[1, 1] = 1
    with pytest.raises(UserError, match="1 observed labels"):
        hold_out(labels, 0.5, 0)


def drawn(images: int = 4000, classes: int = 6) -> np.ndarray:
    """Labels of which a third is present, and a fifth unknown; the first image has no present one."""
    rng = np.random.default_rng(100)
    labels = np.where(rng.random((images, classes)) < 0.2, UNKNOWN, rng.random((images, classes)) < 1 / 3)
    labels[0] = 0
    return labels.astype(np.int8)


@pytest.mark.parametrize(
    "name", ["0.1", "1.0", "single-positive", "positive-only:0.3", "400 labels", "1 label", "report:0.3"]
)
def test_protocols_are_known_by_their_names(name):
    assert Observation.parse(name).name == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("few", "'few' is no way to hide labels"),
        ("single-negative", "no way to hide labels"),
        ("positive-only", "no way to hide labels"),
        ("positive-only:", "no way to hide labels"),
        ("1" * 5000 + " labels", "no way to hide labels"),
        ("-3 labels", "no way to hide labels"),
        ("0 labels", "0 is no number of labels"),
        ("positive-only:1.5", "tenth of the present labels"),
        ("nan", "outside"),
    ],
)
def test_what_is_no_protocol_is_refused(text, words):
    with pytest.raises(UserError, match=words):
        Observation.parse(text)


def test_a_fraction_is_the_mask_that_it_always_was():
    labels = drawn()
    np.testing.assert_array_equal(Observation("fraction", 0.3).keep(labels, 5), keep_mask(labels.shape, 0.3, 5))


def test_single_positive_keeps_one_present_label_of_each_image_each_as_often_as_another():
    labels = drawn()
    keep = Observation("single-positive").keep(labels, 3)
    np.testing.assert_array_equal(keep.sum(axis=1), (labels == PRESENT).any(axis=1))
    assert (labels[keep] == PRESENT).all()
    whole = np.ones((6000, 6), np.int8)
    shares = Observation("single-positive").keep(whole, 4).mean(axis=0)
    np.testing.assert_allclose(shares, 1 / 6, atol=4 * (5 / 36 / 6000) ** 0.5)


def test_positive_only_keeps_its_share_of_present_labels_and_no_other():
    labels = drawn()
    keep = Observation("positive-only", 0.3).keep(labels, 3)
    present = labels == PRESENT
    assert not keep[~present].any()
    assert keep[present].mean() == pytest.approx(0.3, abs=4 * (0.21 / present.sum()) ** 0.5)
    more = Observation("positive-only", 0.6).keep(labels, 3)
    assert not (keep & ~more).any()


def test_a_number_of_labels_is_exact_nested_and_of_known_ones():
    labels = drawn()
    few, more = (Observation("labels", count).keep(labels, 3) for count in (150, 400))
    assert (few.sum(), more.sum()) == (150, 400)
    assert not (few & ~more).any()
    assert (labels[more] != UNKNOWN).all()
    assert (few != Observation("labels", 150).keep(labels, 4)).any()
    known = int((labels != UNKNOWN).sum())
    np.testing.assert_array_equal(Observation("labels", known).keep(labels, 0), labels != UNKNOWN)
    with pytest.raises(UserError, match=f"{known + 1:,} labels are asked for, and {known:,} are known"):
        Observation("labels", known + 1).keep(labels, 0)


@pytest.mark.parametrize("first", ["0.4", "4000 labels", "single-positive"])
@pytest.mark.parametrize("second", ["0.3", "positive-only:0.3", "800 labels", "single-positive", "federated:0.3"])
def test_a_protocol_draws_at_random_from_what_another_of_its_seed_left(first, second):
    """`convert` may have hidden labels by the seed of `train`: 0, unless somebody asks for another one."""
    left = hide(drawn(), Observation.parse(first).keep(drawn(), 3))
    kept = hide(left, Observation.parse(second).keep(left, 3)) != UNKNOWN
    if first == second:  # a single positive of a single one is that one
        assert (kept == (left != UNKNOWN)).all()
        return
    if first == "0.4" and second == "0.3":
        assert kept.sum() == pytest.approx(0.75 * (left != UNKNOWN).sum(), rel=0.05)  # fractions of one seed are nested
        return
    expected = Observation.parse(second).share(left) * left.size
    assert kept.sum() == pytest.approx(expected, rel=0.12)
    halves = [int(kept[part].sum()) for part in (slice(2000), slice(2000, None))]
    assert abs(halves[0] - halves[1]) < 4 * expected**0.5


@pytest.mark.parametrize("name", ["0.3", "single-positive", "positive-only:0.3", "400 labels"])
def test_the_share_that_is_kept_is_known_beforehand(name):
    labels, observation = drawn(), Observation.parse(name)
    kept = np.mean([(hide(labels, observation.keep(labels, seed)) != UNKNOWN).mean() for seed in range(5)])
    assert observation.share(labels) == pytest.approx(kept, rel=0.02)
