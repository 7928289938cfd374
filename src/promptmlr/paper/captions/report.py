"""What a count of captions says, and how far it is to be trusted."""

from collections.abc import Iterator

from promptmlr.paper.captions.check import PARTS, agreement
from promptmlr.paper.captions.counting import CaptionCount
from promptmlr.paper.share import Share
from promptmlr.report.findings import Finding, Lines, Table

__all__ = ["count_findings"]

WIDTH = 100  # letters of a sampled caption that are shown


def count_findings(count: CaptionCount) -> list[Finding]:
    """All that is said of a count."""
    return [_summary(count), _by_word(count), *_samples(count), _caveat()]


def _summary(count: CaptionCount) -> Finding:
    found = (("with a word of absence", count.with_word), ("that say a thing is absent", count.absences))
    return Lines(
        None,
        [
            f"{count.captions:,} captions; {count.blank:,} null or empty rows left out",
            *(f"{words}: {part:,}, {Share(part, count.captions)}, 95 % interval" for words, part in found),
            "for comparison: of LAION-400M's captions 0.47 % hold a negative word (Rawlekar et al., arXiv 2409.08381)",
        ],
    )


def _by_word(count: CaptionCount) -> Finding:
    rows = [
        (word, f"{one.captions:,}", f"{one.absences:,}", f"{Share(one.absences, count.captions)}")
        for word, one in sorted(count.by_word.items(), key=lambda item: -item[1].captions)
    ]
    header = ("word", "captions", "absence of a thing", "of all captions")
    return Table("Captions by word of absence (counts.csv)", header, rows)


def _samples(count: CaptionCount) -> Iterator[Finding]:
    for word, one in count.by_word.items():
        for kind, sample in (("absence of a thing", one.of_a_thing), ("other", one.other)):
            if sample.kept:
                yield Lines(f"{word}, {kind}", [_printable(caption) for caption in sample.kept])


def _printable(caption: str) -> str:
    """One line that a terminal shows as text, whatever the web wrote."""
    text = "".join(letter if letter.isprintable() else " " for letter in caption)
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _caveat() -> Finding:
    measured = [
        f"{one.part} ({one.sentences}): precision {one.precision}, recall {one.recall}" for one in map(agreement, PARTS)
    ]
    return Lines(
        "how far to trust this (agreement.csv): the rule on sentences made up to measure it, half of them of absence; "
        "95 % intervals",
        measured,
    )
