import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from promptmlr.labels import PRESENT, UNKNOWN, Observation, hide, hold_out, keep_mask, mask_hash

SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 8))
SEEDS = st.integers(0, 2**32 - 1)
FRACTIONS = st.floats(0, 1, exclude_min=True)
LABELS = arrays.arrays(np.int8, SHAPES, elements=st.sampled_from([-1, 0, 1]))


@given(SHAPES, SEEDS, FRACTIONS, FRACTIONS)
def test_masks_of_one_seed_are_nested(shape, seed, first, second):
    small, large = (keep_mask(shape, fraction, seed) for fraction in sorted((first, second)))
    assert small.shape == shape
    assert not (small & ~large).any()


@given(LABELS, SEEDS, FRACTIONS, st.data())
def test_no_protocol_shows_what_is_unknown_or_changes_what_is_known(labels, seed, amount, data):
    known = int((labels != UNKNOWN).sum())
    protocols = [Observation("fraction", amount), Observation("positive-only", amount), Observation("single-positive")]
    if known:
        protocols.append(Observation("labels", data.draw(st.integers(1, known))))
    for observation in protocols:
        assert Observation.parse(observation.name) == observation
        keep = observation.keep(labels, seed)
        seen = hide(labels, keep)
        assert (seen[seen != UNKNOWN] == labels[seen != UNKNOWN]).all()
        if observation.protocol == "labels":
            assert (seen != UNKNOWN).sum() == observation.amount
        if "positive" in observation.protocol:
            assert (labels[keep] == PRESENT).all()


@given(LABELS, st.floats(0.01, 0.99), SEEDS)
def test_hold_out_partitions_the_observed_labels(labels, fraction, seed):
    observed = labels != UNKNOWN
    if observed.sum() < 2:
        return
    fit, held = hold_out(labels, fraction, seed)
    known_fit, known_held = fit != UNKNOWN, held != UNKNOWN
    assert known_fit.any()
    assert known_held.any()
    np.testing.assert_array_equal(known_fit ^ known_held, observed)
    np.testing.assert_array_equal(np.where(known_fit, fit, held), labels)


@given(LABELS, SEEDS, FRACTIONS)
def test_hiding_twice_changes_nothing(labels, seed, fraction):
    keep = keep_mask(labels.shape, fraction, seed)
    once = hide(labels, keep)
    np.testing.assert_array_equal(hide(once, keep), once)
    np.testing.assert_array_equal(once != UNKNOWN, keep & (labels != UNKNOWN))


@given(arrays.arrays(np.bool_, SHAPES), st.data())
def test_the_hash_changes_with_every_bit(keep, data):
    row, column = (data.draw(st.integers(0, size - 1)) for size in keep.shape)
    flipped = keep.copy()
    flipped[row, column] ^= True
    assert mask_hash(keep) == mask_hash(keep.copy())
    assert mask_hash(keep) != mask_hash(flipped)
