"""What must hold for any scores and labels."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from promptmlr.evaluation import average_precision, bootstrap_map, evaluate

RESAMPLED = ("mean_ap_interval", "population_map", "population_interval")


@st.composite
def scored_sets(draw):
    """Whole-number scores (N, C), so that ties and exact transforms are easy, and labels with a positive."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 4)))
    scores = draw(arrays(np.int64, shape, elements=st.integers(-5, 5))).astype(float)
    labels = draw(arrays(np.int8, shape, elements=st.sampled_from([1, 0, -1])))
    labels[draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))] = 1
    return scores, labels


def scored(scores, labels, threshold=0.5):
    names = [f"class {c}" for c in range(labels.shape[1])]
    return evaluate(scores, labels, names, threshold=threshold, resamples=20)


@given(scored_sets())
def test_average_precision_is_scikit_learns(data):
    scores, labels = data
    for score, label in zip(scores.T, labels.T, strict=True):
        known = label != -1
        if (label == 1).any():
            expected = average_precision_score(label[known], score[known])
            assert average_precision(score, label) == pytest.approx(expected)


@given(scored_sets())
def test_only_the_order_of_the_scores_matters(data):
    scores, labels = data
    transformed = scored(scores**3, labels, threshold=0.5**3)
    assert dataclasses.replace(transformed, threshold=0.5).as_dict() == scored(scores, labels).as_dict()


@given(scored_sets(), st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(data, random):
    scores, labels = data
    order = random.sample(range(len(labels)), len(labels))
    before, after = scored(scores, labels), scored(scores[order], labels[order])
    drawn = {name: getattr(before, name) for name in RESAMPLED}  # by position, so these alone move
    assert dataclasses.replace(after, **drawn).as_dict() == before.as_dict()


@given(scored_sets(), st.randoms(use_true_random=False))
def test_permuting_classes_permutes_their_scores(data, random):
    scores, labels = data
    order = random.sample(range(labels.shape[1]), labels.shape[1])
    before, after = scored(scores, labels), scored(scores[:, order], labels[:, order])
    aps = list(before.per_class_ap.values())
    np.testing.assert_array_equal(list(after.per_class_ap.values()), [aps[c] for c in order])
    for name in ("mean_ap", "mean_ap_interval", "cf1", "cf1_harmonic", "of1", "cp", "cr", "op", "or_"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), nan_ok=True), name


@given(scored_sets(), st.integers(-10, 10))
def test_scores_at_unknown_labels_never_matter(data, other):
    scores, labels = data
    changed = np.where(labels == -1, other, scores)
    assert scored(changed, labels).as_dict() == scored(scores, labels).as_dict()


@given(scored_sets())
def test_images_of_unknown_labels_change_nothing_but_their_number(data):
    scores, labels = data
    longer = np.vstack([scores, scores]), np.vstack([labels, np.full_like(labels, -1)])
    expected = scored(scores, labels)
    drawn = {name: getattr(expected, name) for name in ("images", *RESAMPLED)}
    result = dataclasses.replace(scored(*longer), **drawn)
    assert result.as_dict() == expected.as_dict()


@given(scored_sets())
def test_every_resampled_map_is_a_fraction(data):
    resampled = bootstrap_map(*data, 20)
    found = resampled[~np.isnan(resampled)]
    assert ((found > 0) & (found <= 1 + 1e-12)).all()
