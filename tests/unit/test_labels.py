import hashlib

import numpy as np
import pytest

from promptmlr.errors import UserError
from promptmlr.labels import UNKNOWN, hide, hold_out, keep_mask, mask_hash


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
