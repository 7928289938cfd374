"""`promptmlr probe-captions`: how often captions speak of absence."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from promptmlr.cli.options import NonNegativeInt, Report
from promptmlr.cli.outcome import check_page, publish
from promptmlr.cli.progress import note, progress
from promptmlr.errors import UserError

__all__ = ["probe_captions"]


def probe_captions(
    *files: Annotated[str, Parameter(required=True)],
    column: str | None = None,
    samples: NonNegativeInt = 2,
    seed: int = 0,
    out: Path | None = None,
    report: Report = None,
) -> None:
    """Count captions with words of absence, and those that say a thing is absent ("no dog", not "no. 5").

    CSV and TSV files need a header; quotes in TSV are read as text. Intervals are Wilson's, for independently drawn
    captions. The last lines give the error rate of the rule on sentences that were written to measure it.

    Args:
        files: Parquet, CSV, TSV, JSON lines or COCO captions; text files may be .gz; write globs in quotes.
        column: Column that holds the captions. (default: caption, text, ..., or the only column)
        samples: How many captions to show per word and kind of use.
        seed: Random seed for the samples.
        out: Folder for counts.csv, samples.csv and agreement.csv.
    """
    from promptmlr.paper.captions.counting import count_captions
    from promptmlr.paper.captions.files import choose_column, find_files, read_captions
    from promptmlr.paper.captions.report import CaptionOutputs

    check_page(out, report)
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
        rows = f"{count.blank:,} null or empty rows" if count.blank else "no rows"
        raise UserError(f"no captions in {', '.join(files)}: {rows}")
    publish(CaptionOutputs(count), out, report)
