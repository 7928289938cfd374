"""The report of a count of captions, with the precision and recall of the rule behind it."""

from collections.abc import Iterator

from promptmlr.paper.captions.check import PARTS, agreement, agreement_records
from promptmlr.paper.captions.counting import CaptionCount
from promptmlr.paper.share import Share
from promptmlr.report.findings import Finding, Lines, Table
from promptmlr.report.outputs import Outputs, Records

__all__ = ["CaptionOutputs"]

WIDTH = 100  # letters of a sampled caption that are shown


class CaptionOutputs(Outputs):
    """The report of a count."""

    title = "How often captions state an absence"

    def __init__(self, count: CaptionCount) -> None:
        self.count = count
        self.lead = f"Words of absence in {count.captions:,} captions."

    def findings(self) -> list[Finding]:
        """The count by word, samples, and the precision and recall of the rule."""
        samples = [Lines(f"{word}, {use}", [_printable(one) for one in kept]) for word, use, kept in self._samples()]
        return [self._summary(), self._by_word(), *samples, _caveat()]

    def files(self) -> dict[str, Records]:
        """A row per word and one for "any", the sampled captions verbatim, and the precision and recall of the rule."""
        count = self.count
        rows = [(word, one.captions, one.absences) for word, one in count.by_word.items()]
        counts = [
            {
                "word": word,
                "captions": count.captions,
                "with_word": captions,
                "absence_of_thing": absences,
                "share": share.value,
                "share_low": share.interval[0],
                "share_high": share.interval[1],
            }
            for word, captions, absences in [*rows, ("any", count.with_word, count.absences)]
            for share in [Share(absences, count.captions)]
        ]
        samples = [
            {"word": word, "use": use, "caption": caption} for word, use, kept in self._samples() for caption in kept
        ]
        return {
            "counts.csv": Records.of(counts),
            "samples.csv": Records(("word", "use", "caption"), samples),
            "agreement.csv": agreement_records(),
        }

    def _summary(self) -> Finding:
        count = self.count
        found = (("with a word of absence", count.with_word), ("that say a thing is absent", count.absences))
        return Lines(
            None,
            [
                f"{count.captions:,} captions; {count.blank:,} null or empty rows left out",
                *(f"{words}: {part:,}, {Share(part, count.captions)}, 95 % interval" for words, part in found),
                "for comparison: of LAION-400M's captions 0.47 % hold a negative word "
                "(Rawlekar et al., arXiv 2409.08381)",
            ],
        )

    def _by_word(self) -> Finding:
        rows = [
            (word, f"{one.captions:,}", f"{one.absences:,}", f"{Share(one.absences, self.count.captions)}")
            for word, one in sorted(self.count.by_word.items(), key=lambda item: -item[1].captions)
        ]
        header = ("word", "captions", "absence of a thing", "of all captions")
        return Table("Captions by word of absence (counts.csv)", header, rows)

    def _samples(self) -> Iterator[tuple[str, str, list[str]]]:
        """Word, kind of use and sampled captions, without empty samples."""
        for word, one in self.count.by_word.items():
            for use, sample in (("absence of a thing", one.of_a_thing), ("other", one.other)):
                if sample.kept:
                    yield word, use, sample.kept


def _printable(caption: str) -> str:
    """A caption as one line without control characters."""
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
