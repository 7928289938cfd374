"""How the commands of the paper end: with what they found on stdout, in a folder and on a page; or interrupted."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from promptmlr.cli.progress import note
from promptmlr.errors import UserError
from promptmlr.files import check_writable, write_text

if TYPE_CHECKING:
    from promptmlr.advice.inspection.outputs import Inspection
    from promptmlr.report.findings import Finding
    from promptmlr.report.outputs import Outputs

__all__ = ["check_free", "check_page", "kept_in", "publish", "say"]


@contextmanager
def kept_in(out: Path, report: Path | None) -> Iterator[None]:
    """Work whose finished parts stay in a folder, and of which a page is to be made; whoever interrupts it is told so.

    Raises:
        UserError: as `check_page`, before the work.
    """
    check_page(out, report)
    try:
        yield
    except KeyboardInterrupt:
        if out.exists():
            note(f"{out} keeps what is finished; repeat the command to go on")
        raise


def publish(outputs: "Outputs | Inspection", out: Path | None, report: Path | None) -> None:
    """Write the files of a measurement where there is a folder for them, and say what it found."""
    if out is not None:
        outputs.write(out)
    say(outputs.title, outputs.lead, outputs.findings(), out, report)


def check_page(out: Path | None, report: Path | None) -> None:
    """Refuse a page whose numbers nobody can trace, or that takes the place of something else.

    Raises:
        UserError: there is a page, and no place for the files it names; or it is no new or other `.html`.
        EnvironmentFault: it cannot be written.
    """
    if report is None:
        return
    if out is None:
        raise UserError(f"--report {report}: the page names the files its numbers are in; give --out as well")
    if report.suffix.lower() not in (".html", ".htm") or report.is_dir():
        raise UserError(f"--report {report}: a page is a file, and its name ends in .html")
    check_writable(report)


def check_free(out: Path, overwrite: bool) -> None:
    """Refuse to replace a file unasked.

    Raises:
        UserError: it exists.
    """
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists; name another file with --out, or replace it with --overwrite")


def say(title: str, lead: str, findings: "Sequence[Finding]", out: Path | None, report: Path | None) -> None:
    """Print what was found, write the page where one is asked for, and say where all of that is."""
    from promptmlr.report.findings import as_text

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if text := as_text(findings, width):
        print(text)
    if report is not None:
        from promptmlr.report.page import as_page

        write_text(report, as_page(title, lead, [*findings, f"The files that it names are in {out}."]))
    if out is not None:
        note(f"written to {out}" + ("" if report is None else f", as a page to {report}"))
