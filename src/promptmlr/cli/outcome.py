"""How the commands of the paper end: what they found on stdout, in a folder and on a page; or interrupted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import typer

from promptmlr.cli.progress import note

__all__ = ["kept_in", "publish"]


class Outputs(Protocol):
    """Everything that is shown of an experiment."""

    def markdown(self) -> str:
        """Tables and what to know about them."""

    def write(self, folder: Path) -> None:
        """The same as files."""

    def report(self, path: Path, folder: Path) -> None:
        """The same as a page, which names the files of `folder`."""


@contextmanager
def kept_in(out: Path) -> Iterator[None]:
    """Work whose finished parts stay in a folder; whoever interrupts it is told so."""
    try:
        yield
    except KeyboardInterrupt:
        if out.exists():
            note(f"{out} keeps what is finished; repeat the command to go on")
        raise


def publish(outputs: Outputs, out: Path, report: Path | None) -> None:
    """Write files and page, print the tables, and say where all of that is."""
    outputs.write(out)
    if report is not None:
        outputs.report(report, out)
    typer.echo(outputs.markdown())
    note(f"tables and figures in {out}" + ("" if report is None else f", as a page in {report}"))
