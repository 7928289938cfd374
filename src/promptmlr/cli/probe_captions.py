"""`promptmlr probe-captions`: how often captions speak of absence."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from promptmlr.cli.progress import note, progress
from promptmlr.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from promptmlr.experiments.captions.counting import CaptionCount

__all__ = ["probe_captions"]

WIDTH = 100  # letters of a sampled caption that are shown


def probe_captions(
    files: Annotated[
        list[str],
        typer.Argument(help="Parquet, CSV, TSV, JSON lines or COCO captions; text also as .gz; globs in quotes."),
    ],
    column: Annotated[
        str | None,
        typer.Option(help="The column of captions. (default: caption, text, ..., or the only one)", show_default=False),
    ] = None,
    samples: Annotated[int, typer.Option(min=0, help="Captions to show per word and kind of use.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="A folder for counts.csv and samples.csv.", show_default=False)
    ] = None,
) -> None:
    """Count captions with words of absence, and those that say a thing is absent ("no dog", not "no. 5").

    CSV and TSV need a header; TSV is read without quotes. Intervals are Wilson's, for captions drawn independently.
    The last lines say how often the rule errs on sentences that were written to measure it.
    """
    from promptmlr.experiments.captions.counting import count_captions, write_counts
    from promptmlr.experiments.captions.files import choose_column, find_files, read_captions

    columns = {path: choose_column(path, column) for path in find_files(files)}
    for name in dict.fromkeys(columns.values()):
        taken = [str(path) for path, its in columns.items() if its == name]
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        note(f"captions are column {name!r} of {taken[0]}{more}")
    with progress("captions") as show:
        count = count_captions(
            (batch for path, name in columns.items() for batch in read_captions(path, name)),
            samples=samples,
            seed=seed,
            progress=show,
        )
    if not count.captions:
        raise UserError(f"no captions in {', '.join(files)}: {count.blank:,} null or empty rows")
    for lines in (_summary(count), _by_word(count), _samples(count), _caveat()):
        for line in lines:
            typer.echo(line)
    if out:
        write_counts(count, out)
        note(f"written to {out}")


def _summary(count: "CaptionCount") -> "Iterator[str]":
    from promptmlr.experiments.share import Share

    yield f"{count.captions:,} captions; {count.blank:,} null or empty rows left out"
    for words, part in (("with a word of absence", count.with_word), ("that say a thing is absent", count.absences)):
        yield f"{words}: {part:,}, {Share(part, count.captions)}, 95 % interval"
    yield "for comparison: of LAION-400M's captions 0.47 % hold a negative word (Rawlekar et al., arXiv 2409.08381)"


def _by_word(count: "CaptionCount") -> "Iterator[str]":
    from promptmlr.experiments.share import Share
    from promptmlr.experiments.tables import table_lines

    rows = [
        (word, f"{one.captions:,}", f"{one.absences:,}", f"{Share(one.absences, count.captions)}")
        for word, one in sorted(count.by_word.items(), key=lambda item: -item[1].captions)
    ]
    yield ""
    yield from table_lines(("word", "captions", "absence of a thing", "of all captions"), rows, words=1)


def _samples(count: "CaptionCount") -> "Iterator[str]":
    for word, one in count.by_word.items():
        for kind, sample in (("absence of a thing", one.of_a_thing), ("other", one.other)):
            if sample.kept:
                yield ""
                yield f"{word}, {kind}:"
            yield from (f"  {_printable(caption)}" for caption in sample.kept)


def _printable(caption: str) -> str:
    """One line that a terminal shows as text, whatever the web wrote."""
    text = "".join(letter if letter.isprintable() else " " for letter in caption)
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _caveat() -> "Iterator[str]":
    from promptmlr.experiments.captions.check import PARTS, agreement

    yield ""
    yield "how far to trust this: the rule on sentences made up to measure it, half of them of absence; 95 % intervals"
    for one in map(agreement, PARTS):
        name = f"{one.part} ({one.sentences})"
        yield f"  {name}: precision {one.precision}, recall {one.recall}"
