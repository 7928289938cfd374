"""What a comparison concludes, on scores whose conclusion is known beforehand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from promptmlr.demo.comparison import Row, best_of, findings
from promptmlr.evaluation import evaluate
from promptmlr.report.tables import table_lines

CLASSES = ("a", "b", "c")
NAMES = ("positivecoop", "negativecoop", "dualembedding")


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return (np.random.default_rng(0).random((400, 3)) < 0.3).astype(np.int8)


def row(method: str, start: str | None, labels: np.ndarray, noise: float, own_noise: float = 0.0) -> Row:
    """Scores that rank the present above the absent, but for noise: shared by all rows, and the row's own."""
    shared = np.random.default_rng(1).normal(size=labels.shape)
    own = np.random.default_rng(list(f"{method} {start}".encode())).normal(size=labels.shape)
    scores = (1 / (1 + np.exp(-(labels + noise * shared + own_noise * own)))).astype(np.float32)
    learned = 0 if method == "zeroshot" else 1234567
    return Row(method, start, learned, 1.5, scores, evaluate(scores, labels, CLASSES, resamples=200), None)


@pytest.fixture(scope="module")
def rows(labels) -> list[Row]:
    """From text: all nearly the same. From agnostic: positivecoop is as good, the others are much worse."""
    text = [row(name, "text", labels, 0.5, 0.03) for name in NAMES]
    worse = [row(name, "agnostic", labels, noise, 0.03) for name, noise in zip(NAMES, (0.5, 2.0, 2.0), strict=True)]
    return [row("zeroshot", None, labels, 4.0), *text, *worse]


def test_best_names_those_it_cannot_be_told_from(rows, labels) -> None:
    best, _, _ = findings(rows, labels)
    winner = best_of(rows)
    means = {
        one.name: np.mean([average_precision_score(labels[:, c], one.probabilities[:, c]) for c in range(3)])
        for one in rows
    }
    assert winner.name == max(means, key=means.get)
    assert best.answer.startswith(f"{winner.name}, with a mAP of {100 * means[winner.name]:.1f} %.")
    assert {pair.a.name for pair in best.differences} == set(means) - {winner.name}
    tied = {pair.a.name for pair in best.differences if pair.verdict == "within noise"}
    assert tied == {"positivecoop (text)", "negativecoop (text)", "dualembedding (text)", "positivecoop (agnostic)"} - {
        winner.name
    }
    assert all(name in best.answer for name in tied)
    assert "The 3 other rows are lower by more than noise." in best.answer


def test_starts_and_prompts_are_compared_at_equal_terms(rows, labels) -> None:
    _, starts, prompts = findings(rows, labels)
    assert [(pair.a.name, pair.b.name, pair.verdict) for pair in starts.differences] == [
        ("positivecoop (text)", "positivecoop (agnostic)", "within noise"),
        ("negativecoop (text)", "negativecoop (agnostic)", "higher"),
        ("dualembedding (text)", "dualembedding (agnostic)", "higher"),
    ]
    assert starts.answer.endswith("higher for negativecoop and dualembedding; within noise for positivecoop.")
    assert [(pair.a.name, pair.b.name, pair.verdict) for pair in prompts.differences] == [
        ("positivecoop (text)", "dualembedding (text)", "within noise"),
        ("negativecoop (text)", "dualembedding (text)", "within noise"),
        ("positivecoop (agnostic)", "dualembedding (agnostic)", "higher"),
        ("negativecoop (agnostic)", "dualembedding (agnostic)", "within noise"),
    ]


def test_differences_have_the_sign_of_the_first_row(rows, labels) -> None:
    best, _, _ = findings(rows, labels)
    zeroshot = next(pair for pair in best.differences if pair.a.name == "zeroshot")
    assert zeroshot.verdict == "lower"
    _, _, points, interval, _ = zeroshot.cells()
    assert points.startswith("−")
    low, high = (float(end.replace("−", "-")) for end in interval.split(" to "))
    assert low < float(points.replace("−", "-")) < high < 0


def test_a_row_shows_its_score_within_its_interval(labels) -> None:
    one = row("dualcoop", None, labels, 1.0)
    method, start, score, interval, learned, seconds = one.cells()
    assert (method, start, learned, seconds) == ("dualcoop", "–", "1,234,567", "1.5")
    low, high = map(float, interval.split(" to "))
    assert low < float(score) < high


def test_lone_winner_leaves_all_others_behind(labels) -> None:
    rows = [row(name, start, labels, 3.0) for name in NAMES for start in ("agnostic", "text")]
    for winner, learned in (("zeroshot", False), ("dualcoop", True)):
        best, _, _ = findings([*rows, row(winner, None, labels, 0.1)], labels)
        assert best.answer.startswith(f"{winner}, with a mAP of ")
        assert best.answer.endswith("All 6 other rows are lower by more than noise.")
        assert ("Nothing learned from these labels beats" in best.answer) is not learned


def test_table_lines_up() -> None:
    assert table_lines(("name", "n"), [("a", "1"), ("long name", "1,000")], words=1) == [
        "name           n",
        "a              1",
        "long name  1,000",
    ]
