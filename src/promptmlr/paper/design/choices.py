"""What the search of a design found, on disk: `choices.csv`, and all its trainings in `curves.csv`."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pyarrow.csv import read_csv

from promptmlr.files import write_text
from promptmlr.paper.design.search import Choice, Trial
from promptmlr.report.tables import csv_text

__all__ = ["Found", "read_choices", "write_choices"]

_CHOICES = ("cell", "observed", "factor", "epochs", "plateau", "saturated")
_CURVES = ("cell", "observed", "factor", "epochs", "held_out_map")


@dataclass(frozen=True)
class Found:
    """What was found for a cell at an observed fraction, and the share of margins that started saturated."""

    cell: str
    observed: float
    choice: Choice
    saturated: float


def read_choices(folder: Path) -> list[Found]:
    """What `write_choices` wrote; nothing where it did not."""
    if not (folder / "choices.csv").exists() or not (folder / "curves.csv").exists():
        return []
    trials: dict[tuple[str, float], list[Trial]] = {}
    for row in read_csv(folder / "curves.csv").to_pylist():
        trial = Trial(float(row["factor"]), row["epochs"], row["held_out_map"])
        trials.setdefault((row["cell"], row["observed"]), []).append(trial)
    return [
        Found(
            row["cell"],
            row["observed"],
            Choice(float(row["factor"]), row["epochs"], row["plateau"], tuple(trials[row["cell"], row["observed"]])),
            row["saturated"],
        )
        for row in read_csv(folder / "choices.csv").to_pylist()
    ]


def write_choices(folder: Path, choices: Iterable[Found]) -> None:
    """Both tables, each whole or not at all; the curves first, so that a choice always has its own."""
    choices = list(choices)
    curves = [
        (found.cell, found.observed, trial.factor, trial.epochs, trial.held_out_map)
        for found in choices
        for trial in found.choice.trials
    ]
    rows = [
        (found.cell, found.observed, found.choice.factor, found.choice.epochs, found.choice.plateau, found.saturated)
        for found in choices
    ]
    for name, columns, records in (("curves.csv", _CURVES, curves), ("choices.csv", _CHOICES, rows)):
        write_text(folder / name, csv_text(columns, (dict(zip(columns, row, strict=True)) for row in records)))
