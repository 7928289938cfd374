"""What must hold for F1 of the most probable classes, whatever the scores and labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score

from promptmlr.errors import UserError
from promptmlr.evaluation import evaluate
from promptmlr.top_scores import most_probable, top_scores


@st.composite
def scored_sets(draw, codes=(1, 0, -1)):
    """Probabilities (N, C) in steps of a tenth, so that ties come up, and labels with a positive."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 7)))
    probabilities = draw(arrays(np.int64, shape, elements=st.integers(0, 10))) / 10
    labels = draw(arrays(np.int8, shape, elements=st.sampled_from(codes)))
    labels[draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))] = 1
    return probabilities, labels


@given(scored_sets(), st.integers(1, 8))
def test_as_many_classes_as_asked_and_none_that_is_more_probable_is_left_out(data, k):
    probabilities, _ = data
    chosen = most_probable(probabilities, k)
    assert (chosen.sum(axis=1) == min(k, probabilities.shape[1])).all()
    for row, own in zip(probabilities, chosen, strict=True):
        assert own.all() or row[own].min() >= row[~own].max()


@given(scored_sets(codes=(1, 0)))
def test_f1_at_three_is_scikit_learns_micro_f1_of_three_predictions(data):
    probabilities, labels = data
    predicted = np.zeros_like(labels)
    for row, own in enumerate(probabilities):
        predicted[row, sorted(range(len(own)), key=lambda column: -own[column])[:3]] = 1
    expected = f1_score(labels.ravel(), predicted.ravel(), zero_division=0)
    assert top_scores(probabilities, labels).f1_at_3 == pytest.approx(expected)


@given(scored_sets())
def test_up_to_three_classes_are_all_that_are_above_one_half(data):
    """Top 3 leaves nothing out where an image has no more than three classes above ½."""
    probabilities, labels = data
    probabilities[np.cumsum(probabilities > 0.5, axis=1) > 3] = 0
    whole = evaluate(probabilities, labels, [f"{c}" for c in range(labels.shape[1])], resamples=0)
    found = top_scores(probabilities, labels)
    assert (found.cf1_top3, found.of1_top3) == pytest.approx((whole.cf1_harmonic, whole.of1))


@given(scored_sets())
def test_an_unknown_label_counts_for_nothing(data):
    """It is neither a false alarm where it is predicted nor a miss where it is not."""
    probabilities, labels = data
    first = most_probable(probabilities, 3)
    true, claimed = (first & (labels == 1)).sum(), (first & (labels != -1)).sum()
    assert top_scores(probabilities, labels).f1_at_3 == pytest.approx(2 * true / (claimed + (labels == 1).sum()))


def test_the_two_definitions_differ_by_what_is_improbable():
    """One image, four classes: two above ½, of which one is there; the third most probable is there too."""
    probabilities, labels = np.array([[0.9, 0.8, 0.3, 0.1]]), np.array([[1, 0, 1, 0]], np.int8)
    found = top_scores(probabilities, labels)
    assert found.of1_top3 == pytest.approx(2 * 1 / (2 + 2))
    assert found.f1_at_3 == pytest.approx(2 * 2 / (3 + 2))
    assert found.cf1_top3 == pytest.approx(0.5)  # CP = CR = (1 + 0) / 2 over the two classes that are there


def test_shapes_that_differ_are_refused():
    with pytest.raises(UserError, match=r"scores \(1, 2\) and labels \(1, 3\)"):
        top_scores(np.zeros((1, 2)), np.zeros((1, 3), np.int8))
