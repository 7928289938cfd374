"""Recognizers scored on the same images, and conclusions from their differences.

Letters: N test images, C classes. Differences are in points of mAP (percent), a minus b, with a paired bootstrap
interval over the N images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptmlr.evaluation import Evaluation, PairedDifference, paired_difference
from promptmlr.labels import Labels
from promptmlr.recognizer import Recognizer
from promptmlr.report.tables import signed

__all__ = ["DIFFERENCE_HEADER", "HEADER", "Difference", "Finding", "Row", "best_of", "findings"]

HEADER = ("method", "start", "mAP %", "95 % interval", "learned", "seconds")
DIFFERENCE_HEADER = ("row", "reference", "difference", "95 % interval", "verdict")


@dataclass(frozen=True, eq=False)
class Row:
    """One trained recognizer on the test images.

    Attributes:
        method: a name of `METHODS`.
        start: where its embeddings started, None where it has none that learn.
        learned: how many numbers were learned.
        seconds: that building and training took.
        probabilities: (N, C) float32, of presence.
        evaluation: their score.
        recognizer: folded.
    """

    method: str
    start: str | None
    learned: int
    seconds: float
    probabilities: NDArray[np.float32]
    evaluation: Evaluation
    recognizer: Recognizer

    @property
    def name(self) -> str:
        """Method and start."""
        return f"{self.method} ({self.start})" if self.start else self.method

    def cells(self) -> tuple[str, ...]:
        """Method, start, mAP in percent, its interval, learned parameters, seconds."""
        low, high = (100 * end for end in self.evaluation.mean_ap_interval)
        score, interval = f"{100 * self.evaluation.mean_ap:.1f}", f"{low:.1f} to {high:.1f}"
        return self.method, self.start or "–", score, interval, f"{self.learned:,}", f"{self.seconds:.1f}"


@dataclass(frozen=True, eq=False)
class Difference:
    """Row a minus row b, on the same images."""

    a: Row
    b: Row
    paired: PairedDifference

    @property
    def verdict(self) -> str:
        """Whether the test images tell the two apart, and which way."""
        if self.paired.within_noise:
            return "within noise"
        return "higher" if self.paired.low > 0 else "lower"

    def cells(self) -> tuple[str, ...]:
        """Both names, the difference in points, its interval, the verdict."""
        points = 100 * (self.a.evaluation.mean_ap - self.b.evaluation.mean_ap)
        interval = f"{signed(100 * self.paired.low)} to {signed(100 * self.paired.high)}"
        return self.a.name, self.b.name, signed(points), interval, self.verdict


@dataclass(frozen=True)
class Finding:
    """A question, its answer in words, and the differences it rests on."""

    question: str
    answer: str
    differences: tuple[Difference, ...]


def best_of(rows: Sequence[Row]) -> Row:
    """The row of the highest mAP."""
    return max(rows, key=lambda row: row.evaluation.mean_ap)


def findings(rows: Sequence[Row], labels: Labels) -> list[Finding]:
    """Conclusions from (N, C) test labels: the best row, the effect of initial values, and the effect of prompts.

    Args:
        rows: every method that has embeddings must be there from `agnostic` and from `text`.
        labels: of the images that the rows were scored on.
    """
    by_key = {(row.method, row.start): row for row in rows}

    def difference(a: Row, b: Row) -> Difference:
        return Difference(a, b, paired_difference(a.probabilities, b.probabilities, labels))

    best = best_of(rows)
    behind = tuple(difference(row, best) for row in rows if row is not best)
    methods = ("positivecoop", "negativecoop", "dualembedding")
    starts = tuple(difference(by_key[name, "text"], by_key[name, "agnostic"]) for name in methods)
    prompts = tuple(
        difference(by_key[name, start], by_key["dualembedding", start])
        for start in ("text", "agnostic")
        for name in ("positivecoop", "negativecoop")
    )
    return [
        Finding("Which row is best here?", _answer_best(best, behind), behind),
        Finding(
            "Does the initial value of embeddings matter?",
            "The class's own text instead of a class-free one: "
            + _tally([(pair.a.method, pair.verdict) for pair in starts]),
            starts,
        ),
        Finding(
            "Does a prompt beat a learned embedding with the same initial value?",
            "A prompt on one side instead of two embeddings: "
            + _tally([(pair.a.name, pair.verdict) for pair in prompts]),
            prompts,
        ),
    ]


def _answer_best(best: Row, behind: Sequence[Difference]) -> str:
    tied = [pair.a.name for pair in behind if pair.verdict == "within noise"]
    answer = f"{best.name}, with a mAP of {100 * best.evaluation.mean_ap:.1f} %. "
    if not best.learned:
        answer += "Nothing learned from these labels beats the frozen CLIP itself. "
    if tied:
        answer += f"On these images it is within noise of {_listing(tied)}. "
    rest = len(behind) - len(tied)
    return answer + (f"{'The' if tied else 'All'} {rest} other rows are lower by more than noise." if rest else "")


def _tally(verdicts: Sequence[tuple[str, str]]) -> str:
    """Names and verdicts as "higher for …; within noise for …."."""
    groups = []
    for group in ("higher", "lower", "within noise"):
        names = [name for name, verdict in verdicts if verdict == group]
        if names:
            groups.append(f"{group} for {_listing(names)}")
    return "; ".join(groups) + "."


def _listing(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
