"""`promptmlr runs`: what runs there are."""

import shutil
import sys
from pathlib import Path

from promptmlr.cli.lists import words
from promptmlr.cli.options import Overwrite
from promptmlr.cli.outcome import check_free
from promptmlr.cli.progress import note
from promptmlr.errors import UserError

__all__ = ["runs"]


def runs(
    folder: Path,
    /,
    *,
    sort: str = "run",
    compare: str | None = None,
    out: Path | None = None,
    overwrite: Overwrite = False,
) -> None:
    """List run folders, finished and unfinished, with settings and scores; or compare two of them.

    Args:
        folder: Folder to search, with all folders below it.
        sort: Column to sort by: run, map, selection, date, seconds, method, observed or seed. Scores and dates are
            sorted highest first.
        compare: Two runs, separated by a comma: print how their settings and scores differ, instead of the list.
        out: Also write the list as CSV.
    """
    from promptmlr.files import write_text
    from promptmlr.listing import compare_runs, list_runs, rows_as_csv, rows_as_text

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if compare is not None:
        names = words(compare)
        if len(names) != 2:
            raise UserError(f"--compare {compare}: name two runs, separated by a comma")
        if out is not None:
            raise UserError("--out is the list as CSV; leave it out with --compare")
        print("\n".join(compare_runs(folder, *names).lines(width)))
        return
    if out is not None:
        if out.suffix.lower() != ".csv":
            raise UserError(f"--out {out}: the suffix must be .csv")
        check_free(out, overwrite)
    rows, damaged = list_runs(folder, sort)
    if rows:
        print("\n".join(rows_as_text(rows, width)))
    for line in damaged:
        note(f"left out: {line}")
    if out is not None:
        write_text(out, rows_as_csv(rows))
        note(f"written to {out}")
