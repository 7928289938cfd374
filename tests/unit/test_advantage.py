"""The lead of the best method, without its luck."""

import numpy as np
import pytest

from promptmlr.advantage import leads
from promptmlr.evaluation import average_precision, paired_difference

IMAGES, CLASSES = 120, 6


def drawn(seed, better=(0.0, 0.0, 0.0, 0.0)):
    """Scores of methods in the order of their mAP, and labels; methods are equal but for `better`."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((IMAGES, CLASSES)) < 0.2).astype(np.int8)
    shared = rng.standard_normal(labels.shape)
    methods = [shared + 0.7 * rng.standard_normal(labels.shape) + (1.0 + more) * labels for more in better]
    methods.sort(key=lambda scores: -mean_ap(scores, labels))
    return methods, labels


def mean_ap(scores, labels):
    return np.mean([average_precision(scores[:, c], labels[:, c]) for c in range(CLASSES)])


def test_methods_that_are_equal_hardly_lead():
    said, seen = [], []
    for seed in range(30):
        methods, labels = drawn(seed)
        first, *others = leads(methods, labels, 200)
        assert first is None
        said += [lead.mean for lead in others]
        seen += [paired_difference(methods[0], other, labels, 200).mean for other in methods[1:]]
    assert np.mean(seen) > 0.02
    assert abs(np.mean(said)) < np.mean(seen) / 2


def test_a_method_that_is_far_better_leads_by_what_is_seen():
    methods, labels = drawn(1, better=(3.0, 0.0, 0.0, 0.0))
    for other, lead in zip(methods[1:], leads(methods, labels, 300)[1:], strict=True):
        seen = paired_difference(methods[0], other, labels, 300)
        assert lead.mean == pytest.approx(seen.mean, abs=0.02)
        assert lead.low > 0.1
        assert lead.high == pytest.approx(seen.high)


@pytest.mark.parametrize("seed", range(5))
def test_luck_is_only_ever_taken_away(seed):
    methods, labels = drawn(seed)
    for other, lead in zip(methods[1:], leads(methods, labels, 100)[1:], strict=True):
        seen = paired_difference(methods[0], other, labels, 100)
        assert lead.mean <= seen.mean
        assert lead.low == pytest.approx(seen.low - (seen.mean - lead.mean))
        assert lead.high == pytest.approx(seen.high)


def test_one_method_leads_nobody():
    methods, labels = drawn(0)
    assert leads(methods[:1], labels, 50) == [None]


def test_one_image_with_positives_says_nothing_of_the_lead():
    methods, labels = drawn(0)
    labels[1:] = 0
    labels[0] = 1
    _, *others = leads(methods, labels, 50)
    assert all((lead.mean, lead.low, lead.high) == (0.0, -1.0, 1.0) for lead in others)
