"""Precision and recall of the rule of `promptmlr.paper.captions.words`, on sentences written to measure it.

`sentences.csv` holds captions written for this purpose, in the style of photo captions and of the web's alt texts;
about half of them state the absence of a thing, and some are hard cases. All were written and labelled before the rule
was coded; the rule was then corrected on the part "development" and never on the part "held out". One author wrote
both, and no caption was taken from a data set: precision and recall on real captions will be lower, and precision
falls where absence is rarer than here.
"""

import csv
from dataclasses import dataclass
from importlib.resources import files

from promptmlr.paper.captions.words import absence_uses
from promptmlr.paper.share import Share
from promptmlr.report.outputs import Records

__all__ = ["PARTS", "Agreement", "Sentence", "agreement", "agreement_records", "sentences"]

PARTS = ("held out", "development")


@dataclass(frozen=True)
class Sentence:
    """A labelled caption.

    Attributes:
        text: the caption.
        absence: whether it states the absence of a thing, in any words.
        word: the word of `WORDS` that decides it, "" if there is none.
        part: one of `PARTS`.
    """

    text: str
    absence: bool
    word: str
    part: str


@dataclass(frozen=True)
class Agreement:
    """The rule compared with the labels of one part.

    Attributes:
        part: one of `PARTS`.
        sentences: their number.
        precision: the share of sentences found by the rule that are labelled as absence.
        recall: the share of sentences labelled as absence that the rule finds.
    """

    part: str
    sentences: int
    precision: Share
    recall: Share


def sentences(part: str) -> list[Sentence]:
    """The labelled captions of one part."""
    source = files("promptmlr.paper.captions").joinpath("sentences.csv")
    rows = [row for row in csv.DictReader(source.read_text(encoding="utf-8").splitlines()) if row["part"] == part]
    return [Sentence(row["sentence"], row["absence"] == "1", row["word"], part) for row in rows]


def agreement(part: str) -> Agreement:
    """Precision and recall of the rule on one part."""
    labelled = sentences(part)
    found = [any(use.of_a_thing for use in absence_uses(sentence.text)) for sentence in labelled]
    right = sum(sentence.absence and positive for sentence, positive in zip(labelled, found, strict=True))
    return Agreement(
        part,
        len(labelled),
        precision=Share(right, sum(found)),
        recall=Share(right, sum(sentence.absence for sentence in labelled)),
    )


def agreement_records() -> Records:
    """A row per part and measure, with its 95 % interval."""
    rows = [
        {"part": one.part, "sentences": one.sentences, "measure": measure, "right": share.part, "of": share.whole}
        | {"value": share.value, "low": share.interval[0], "high": share.interval[1]}
        for one in map(agreement, PARTS)
        for measure, share in (("precision", one.precision), ("recall", one.recall))
    ]
    return Records.of(rows)
