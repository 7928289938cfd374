"""The AUC by ranks against counting pairs, and what must hold for any scores."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from promptmlr.paper.text_probe.auc import auc, bootstrap_auc


@st.composite
def scored_sets(draw):
    """Whole-number scores (N, C), so that ties are common, and labels of all three kinds."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 3)))
    scores = draw(arrays(np.int64, shape, elements=st.integers(-4, 4))).astype(float)
    return scores, draw(arrays(np.int8, shape, elements=st.sampled_from([1, 0, -1])))


def by_pairs(score, label):
    pairs = list(itertools.product(score[label == 1], score[label == 0]))
    return np.mean([(p > a) + (p == a) / 2 for p, a in pairs]) if pairs else np.nan


@given(scored_sets())
def test_auc_counts_pairs_in_the_right_order(data):
    scores, labels = data
    expected = [by_pairs(score, label) for score, label in zip(scores.T, labels.T, strict=True)]
    np.testing.assert_allclose(auc(scores, labels), expected)


@given(scored_sets())
def test_the_other_sign_gives_the_other_area(data):
    scores, labels = data
    np.testing.assert_allclose(auc(-scores, labels), 1 - auc(scores, labels))


@given(scored_sets(), st.integers(0, 5))
def test_a_resample_is_the_set_of_its_images(data, seed):
    """Repeating rows by hand gives what the counts give."""
    scores, labels = data
    count = len(labels)
    rows = np.random.default_rng(seed).integers(count, size=(1, count))[0]
    each = [by_pairs(score, label) for score, label in zip(scores[rows].T, labels[rows].T, strict=True)]
    expected = np.nanmean(each) if not np.isnan(each).all() else np.nan
    np.testing.assert_allclose(bootstrap_auc(scores, labels, 1, seed), [expected])


def test_it_is_scikit_learns_and_its_interval_has_the_right_width():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (400, 1)).astype(np.int8)
    scores = rng.normal(size=(400, 1)) + labels
    expected = roc_auc_score(labels[:, 0], scores[:, 0])
    assert auc(scores, labels)[0] == pytest.approx(expected)
    spread = bootstrap_auc(scores, labels, 400).std()
    # Hanley and McNeil (1982), for an area A of m present and n absent
    m, n, a = int(labels.sum()), int((labels == 0).sum()), expected
    q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
    variance = (a * (1 - a) + (m - 1) * (q1 - a**2) + (n - 1) * (q2 - a**2)) / (m * n)
    assert spread == pytest.approx(variance**0.5, rel=0.15)
