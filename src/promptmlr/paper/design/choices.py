"""What the search of a design found, on disk: `choices.csv`, and all its trainings in `curves.csv`."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from pyarrow.csv import read_csv

from promptmlr.files import write_text
from promptmlr.paper.design.search import Choice, Trial
from promptmlr.report.tables import csv_text

__all__ = ["Found", "read_choices", "write_choices"]


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
        trials.setdefault((row.pop("cell"), row.pop("observed")), []).append(Trial(**row))
    found = []
    for row in read_csv(folder / "choices.csv").to_pylist():
        place = row.pop("cell"), row.pop("observed")
        saturated = row.pop("saturated")
        found.append(Found(*place, Choice(**row, trials=tuple(trials[place])), saturated))
    return found


def write_choices(folder: Path, choices: Collection[Found]) -> None:
    """Both tables, whole or not at all, of one choice or more; curves first, so that a choice always has its own."""
    curves = [
        {"cell": found.cell, "observed": found.observed, **asdict(trial)}
        for found in choices
        for trial in found.choice.trials
    ]
    rows = [
        {
            "cell": found.cell,
            "observed": found.observed,
            "factor": found.choice.factor,
            "epochs": found.choice.epochs,
            "plateau": found.choice.plateau,
            "saturated": found.saturated,
        }
        for found in choices
    ]
    for name, records in (("curves.csv", curves), ("choices.csv", rows)):
        write_text(folder / name, csv_text(list(records[0]), records))
