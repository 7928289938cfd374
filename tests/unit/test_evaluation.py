"""mAP, F1 and their intervals against scikit-learn, repeated rows and sums done by hand."""

import json
import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from promptmlr import evaluation
from promptmlr.errors import UserError
from promptmlr.evaluation import average_precision, bootstrap_map, evaluate, paired_difference


def draw(seed, images=60, classes=4, levels=8):
    """Scores on a few levels, so that many tie, and labels of which a fifth are unknown."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(images, classes)) / levels
    labels = rng.choice(np.array([1, 0, -1], np.int8), size=(images, classes), p=[0.2, 0.6, 0.2])
    labels[0] = 1
    return scores, labels


def names_of(labels):
    return [f"class {c}" for c in range(labels.shape[1])]


def sklearn_aps(scores, labels):
    """Per-class AP of scikit-learn over the known labels, NaN without a positive."""
    aps = []
    for score, label in zip(scores.T, labels.T, strict=True):
        known = label != -1
        present = (label[known] == 1).any()
        aps.append(average_precision_score(label[known], score[known]) if present else math.nan)
    return np.array(aps)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("levels", [1, 3, 8, 10**6])
def test_average_precision_is_scikit_learns_ties_included(seed, levels):
    scores, labels = draw(seed, levels=levels)
    ours = [average_precision(scores[:, c], labels[:, c]) for c in range(labels.shape[1])]
    np.testing.assert_allclose(ours, sklearn_aps(scores, labels), rtol=1e-12)


def test_average_precision_by_hand():
    # Down the list: found 1 of 1, then two tied images bring it to 2 of 3, then an absent one, then 3 of 5.
    scores = [0.9, 0.8, 0.8, 0.7, 0.6, 0.5]
    labels = [1, 0, 1, 0, 1, 0]
    assert average_precision(scores, labels) == pytest.approx((1 / 1 + 2 / 3 + 3 / 5) / 3)


def test_average_precision_without_a_positive_is_nan():
    assert math.isnan(average_precision([0.3, 0.2], [0, -1]))


def test_infinite_scores_rank_like_any_others():
    scores = [np.inf, np.inf, 0.0, -np.inf, -np.inf]
    assert average_precision(scores, [1, 0, 0, 1, 0]) == average_precision([2, 2, 1, 0, 0], [1, 0, 0, 1, 0])


def test_evaluate_takes_each_class_over_its_own_known_labels():
    scores, labels = draw(0)
    result = evaluate(scores, labels, names_of(labels), resamples=0)
    expected = sklearn_aps(scores, labels)
    np.testing.assert_allclose(list(result.per_class_ap.values()), expected, rtol=1e-12)
    assert list(result.per_class_ap) == names_of(labels)
    assert result.mean_ap == pytest.approx(expected.mean())
    assert result.images == 60
    assert result.labels_used == (labels != -1).sum()


# Over 0.5:       cat: hit, false alarm, miss     dog: hit, hit, unknown     elk: never present, one false alarm
HAND_SCORES = np.array([[0.9, 0.9, 0.1], [0.8, 0.8, 0.7], [0.2, 0.7, 0.5], [0.1, 0.4, 0.2]])
HAND_LABELS = np.array([[1, 1, 0], [0, 1, 0], [1, -1, 0], [0, 0, -1]], np.int8)


def test_precision_recall_and_f1_by_hand():
    result = evaluate(HAND_SCORES, HAND_LABELS, ["cat", "dog", "elk"], resamples=0)
    # Cat: precision 1/2, recall 1/2, F1 1/2. Dog: 1, 1, 1. Elk is left out of the means, not of the pooled counts.
    assert (result.cp, result.cr) == (0.75, 0.75)
    assert result.cf1 == pytest.approx((1 / 2 + 1) / 2)
    assert (result.op, result.or_) == (3 / 5, 3 / 4)
    assert result.of1 == pytest.approx(2 * (3 / 5) * (3 / 4) / (3 / 5 + 3 / 4))
    assert result.without_positive == ("elk",)
    assert math.isnan(result.per_class_ap["elk"])
    assert result.mean_ap == pytest.approx((result.per_class_ap["cat"] + 1) / 2)


def test_the_two_cf1_differ_where_precision_and_recall_trade_places():
    scores = np.array([[0.9, 0.9], [0.9, 0.1], [0.1, 0.1]])
    labels = np.array([[1, 1], [0, 1], [0, 0]], np.int8)
    result = evaluate(scores, labels, ["over", "under"], resamples=0)
    # Over: precision 1/2, recall 1. Under: precision 1, recall 1/2. Both F1 are 2/3, both means 3/4.
    assert result.cf1 == pytest.approx(2 / 3)
    assert result.cf1_harmonic == pytest.approx(3 / 4)


def test_decisions_agree_with_scikit_learn():
    scores, labels = draw(1)
    labels = np.abs(labels)
    predicted = scores > 0.5
    result = evaluate(scores, labels, names_of(labels), resamples=0)
    for average, ours in (
        ("macro", (result.cp, result.cr, result.cf1)),
        ("micro", (result.op, result.or_, result.of1)),
    ):
        theirs = [f(labels, predicted, average=average) for f in (precision_score, recall_score, f1_score)]
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_a_probability_at_the_threshold_is_not_a_prediction():
    result = evaluate([[0.5], [0.6]], [[1], [1]], ["cat"], resamples=0)
    assert result.or_ == 0.5


def test_nothing_predicted_scores_zero():
    result = evaluate([[0.1], [0.2]], [[1], [0]], ["cat"], resamples=0)
    assert {result.cp, result.cr, result.cf1, result.cf1_harmonic, result.op, result.or_, result.of1} == {0.0}


def test_thresholds_may_differ_by_class():
    scores, labels = draw(2)
    thresholds = np.array([0.2, 0.4, 0.6, 0.8])
    result = evaluate(scores, labels, names_of(labels), threshold=thresholds, resamples=0)
    shifted = evaluate(scores - thresholds, labels, names_of(labels), threshold=0.0, resamples=0)
    assert (result.cf1, result.of1) == (shifted.cf1, shifted.of1)
    assert result.threshold == dict(zip(names_of(labels), thresholds, strict=True))
    assert shifted.threshold == 0.0


def test_a_class_without_a_negative_is_listed_and_kept():
    result = evaluate([[0.1, 0.3], [0.9, 0.2]], [[1, 0], [1, 1]], ["sky", "cat"], resamples=0)
    assert result.without_negative == ("sky",)
    assert result.without_positive == ()
    assert result.per_class_ap == {"sky": 1.0, "cat": 0.5}
    assert result.mean_ap == 0.75


def test_a_class_without_a_known_label_lacks_positives_only():
    result = evaluate([[0.1, 0.3], [0.9, 0.2]], [[-1, 0], [-1, 1]], ["sky", "cat"], resamples=0)
    assert (result.without_positive, result.without_negative) == (("sky",), ())


@pytest.mark.parametrize("rows_at_once", [1, 7, 50])
def test_bootstrap_is_the_map_of_repeated_rows(monkeypatch, rows_at_once):
    scores, labels = draw(3, images=40)
    labels[:, 0] = 0
    labels[5, 0] = 1  # absent from a third of the resamples, which then leave the class out
    labels[:, 1] = 0  # absent from all
    monkeypatch.setattr(evaluation, "_CELLS_AT_ONCE", 40 * rows_at_once)
    rows = np.random.default_rng(11).integers(40, size=(50, 40))
    repeated = [np.nanmean(sklearn_aps(scores[row], labels[row])) for row in rows]
    np.testing.assert_allclose(bootstrap_map(scores, labels, 50, 11), repeated, rtol=1e-12)


def test_a_resample_without_any_positive_is_nan_and_outside_the_interval():
    scores, labels = [[0.9], [0.1], [0.5]], [[1], [0], [0]]
    resampled = bootstrap_map(scores, labels, 200, 0)
    assert 0 < np.isnan(resampled).sum() < 200
    assert evaluate(scores, labels, ["cat"], resamples=200).mean_ap_interval == (1.0, 1.0)


def test_the_interval_reflects_percentiles_and_repeats_with_its_seed():
    scores, labels = draw(4)
    first, again, other = (
        evaluate(scores, labels, names_of(labels), resamples=300, confidence=0.8, seed=s) for s in (5, 5, 6)
    )
    resampled = bootstrap_map(scores, labels, 300, 5)
    centred = first.mean_ap + resampled.mean() - np.percentile(resampled, [90, 10])
    np.testing.assert_allclose(first.mean_ap_interval, centred)
    assert first == again
    assert first.mean_ap_interval != other.mean_ap_interval


@pytest.mark.parametrize("seed", range(20))
def test_the_interval_holds_the_score_and_stays_in_range(seed: int):
    rng = np.random.default_rng(seed)
    images, classes = rng.integers(2, 30), rng.integers(1, 20)
    labels = (rng.random((images, classes)) < 0.1).astype(np.int8)
    labels[0, 0] = 1
    result = evaluate(rng.random(labels.shape), labels, names_of(labels), resamples=50)
    low, high = result.mean_ap_interval
    assert 0 <= low <= result.mean_ap <= high <= 1


def test_a_difference_is_paired_on_the_same_resamples():
    scores, labels = draw(5)
    better = scores + 0.2 * (labels == 1)
    rows = np.random.default_rng(7).integers(60, size=(80, 60))
    differences = [
        np.nanmean(sklearn_aps(better[row], labels[row])) - np.nanmean(sklearn_aps(scores[row], labels[row]))
        for row in rows
    ]
    difference = paired_difference(better, scores, labels, 80, 7)
    assert difference.mean == pytest.approx(np.mean(differences))
    np.testing.assert_allclose((difference.low, difference.high), np.percentile(differences, [2.5, 97.5]))
    assert not difference.within_noise
    assert paired_difference(scores, better, labels, 80, 7).high == pytest.approx(-difference.low)


def test_equal_recognizers_and_chance_ones_are_within_noise():
    scores, labels = draw(6, images=200)
    chance = [np.random.default_rng(seed).random(scores.shape) for seed in (0, 1)]
    assert paired_difference(scores, 3 * scores, labels, 50).within_noise
    assert paired_difference(*chance, labels, 200).within_noise


def test_as_dict_is_json_without_nan():
    result = evaluate(HAND_SCORES, HAND_LABELS, ["cat", "dog", "elk"], threshold=[0.5, 0.5, 0.5], resamples=0)
    read = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert read["per_class_ap"]["elk"] is None
    assert read["mean_ap_interval"] == [None, None]
    assert read["without_positive"] == ["elk"]
    assert read["threshold"] == {"cat": 0.5, "dog": 0.5, "elk": 0.5}
    assert read["mean_ap"] == result.mean_ap


GOOD = ([[0.9, 0.2], [0.1, 0.3]], [[1, 0], [0, 1]], ["cat", "dog"])


@pytest.mark.parametrize(
    ("scores", "labels", "names", "options", "message"),
    [
        ([[0.9], [0.1]], GOOD[1], GOOD[2], {}, r"scores \(2, 1\) and labels \(2, 2\)"),
        ([0.9, 0.1], [1, 0], GOOD[2], {}, "images by classes"),
        ([[0.9, 0.2], [0.1, math.nan]], *GOOD[1:], {}, "NaN at image 1, class 1"),
        (GOOD[0], [[1, 0], [0, 2]], GOOD[2], {}, "found 2"),
        (GOOD[0], [[0, 0], [-1, 0]], GOOD[2], {}, "no class has a label present"),
        (np.empty((0, 2)), np.empty((0, 2), np.int8), GOOD[2], {}, "no class has a label present"),
        (*GOOD[:2], ["cat"], {}, "2 columns"),
        (*GOOD[:2], ["cat", "cat"], {}, "2 columns"),
        (*GOOD[:2], ["cat", "dog", "dog"], {}, "2 columns"),
        (*GOOD, {"threshold": [0.1, 0.2, 0.3]}, "threshold"),
        (*GOOD, {"threshold": math.nan}, "threshold"),
        (*GOOD, {"resamples": -1}, "resamples"),
        (*GOOD, {"confidence": 95}, "confidence"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(scores, labels, names, options, message):
    with pytest.raises(UserError, match=message) as refusal:
        evaluate(scores, labels, names, **options)
    assert "\n" not in str(refusal.value)


def test_a_difference_needs_resamples():
    with pytest.raises(UserError, match="resamples"):
        paired_difference(GOOD[0], GOOD[0], GOOD[1], 0)
