"""The results of the search of a design on disk: `choices.csv`, and all its trainings in `curves.csv`."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from pyarrow.csv import read_csv

from promptmlr.paper.design.search import Choice, Trial
from promptmlr.report.tables import write_csv

__all__ = ["CellChoice", "read_choices", "write_choices"]


@dataclass(frozen=True)
class CellChoice:
    """The choice for a cell at an observed fraction, and the share of margins that started saturated."""

    cell: str
    observed: float
    choice: Choice
    saturated: float


def read_choices(folder: Path) -> list[CellChoice]:
    """The choices that `write_choices` wrote; empty if there are none."""
    if not (folder / "choices.csv").exists() or not (folder / "curves.csv").exists():
        return []
    trials: dict[tuple[str, float], list[Trial]] = {}
    for row in read_csv(folder / "curves.csv").to_pylist():
        trials.setdefault((row.pop("cell"), row.pop("observed")), []).append(Trial(**row))
    found = []
    for row in read_csv(folder / "choices.csv").to_pylist():
        cell = row.pop("cell"), row.pop("observed")
        saturated = row.pop("saturated")
        found.append(CellChoice(*cell, Choice(**row, trials=tuple(trials[cell])), saturated))
    return found


def write_choices(folder: Path, choices: Collection[CellChoice]) -> None:
    """Write both tables atomically, for at least one choice; curves first, so that every choice has its curve."""
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
        write_csv(folder / name, list(records[0]), records)
