"""`promptmlr demo`: the whole job on the drawn world."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="The folder of the report.")] = Path("report"),
    seed: Annotated[int, typer.Option(min=0, help="Of masks and starts.")] = 0,
    full: Annotated[bool, typer.Option("--full", help="Print all tables instead of one screen.")] = False,
) -> None:
    """Draw images, hide 90 % of their labels, train every method, and report. Offline, no download, about a minute."""
    from promptmlr.cli.progress import Terminal
    from promptmlr.demo.running import run_demo
    from promptmlr.demo.summary import all_lines, screen_lines

    result = run_demo(out, seed=seed, reporter=Terminal())
    for line in all_lines(result) if full else screen_lines(result):
        typer.echo(line)
