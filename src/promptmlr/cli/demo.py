"""`promptmlr demo`: the whole job on the drawn world."""

from pathlib import Path

from promptmlr.cli.options import NonNegativeInt

__all__ = ["demo"]


def demo(*, out: Path = Path("report"), seed: NonNegativeInt = 0, full: bool = False) -> None:
    """Draw images, hide 90 % of their labels, train every method and compare. Offline, in about a minute.

    Args:
        out: Folder for the report.
        seed: Random seed for masks and initial values.
        full: Print all tables instead of one screen.
    """
    from promptmlr.cli.progress import Terminal
    from promptmlr.demo.running import run_demo
    from promptmlr.demo.summary import all_lines, screen_lines

    result = run_demo(out, seed=seed, reporter=Terminal())
    for line in all_lines(result) if full else screen_lines(result):
        print(line)
