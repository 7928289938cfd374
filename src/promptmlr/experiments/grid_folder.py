"""The finished cells of a grid on disk, and what they were made with: an interrupted grid finds them again."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.csv import read_csv

from promptmlr.errors import UserError
from promptmlr.files import write_text

__all__ = ["Cell", "GridFolder"]


@dataclass(frozen=True)
class Cell:
    """One run of the grid: a line of `cells.csv`."""

    method: str
    observed: float
    seed: int
    mean_ap: float
    learned_parameters: int
    seconds: float  # of training the runs of the method that were trained at once, divided by their number


class GridFolder:
    """`settings.json`: per method what decides its cells; `cells.csv`: the finished ones.

    Args:
        path: the folder; it may hold cells of other methods.
        settings: method → what decides its cells besides their place in the grid.

    Attributes:
        cells: (method, observed, seed) → cell.

    Raises:
        UserError: the folder holds something else, or cells of these methods with other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self._check_free()
        try:
            found = self._read_settings()
            self.cells = {(cell.method, cell.observed, cell.seed): cell for cell in self._read_cells()}
        except (OSError, ValueError, TypeError, pa.ArrowInvalid) as error:
            raise UserError(f"{path} is damaged ({error}); name another folder with --out") from error
        wanted = json.loads(json.dumps(settings))
        for method in wanted.keys() & found.keys():
            differ = [key for key in wanted[method] if found[method].get(key) != wanted[method][key]]
            if differ:
                raise UserError(
                    f"{path} holds cells of {method} with another {differ[0].replace('_', ' ')}; "
                    "name another folder with --out, or repeat the first command"
                )
        write_text(path / "settings.json", json.dumps(found | wanted, indent=2) + "\n")

    def add(self, cell: Cell) -> None:
        """A finished cell."""
        self.cells[cell.method, cell.observed, cell.seed] = cell

    def save(self) -> None:
        """Write all cells."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(Cell)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(cell) for cell in self.cells.values())
        write_text(self.path / "cells.csv", text.getvalue())

    def _check_free(self) -> None:
        if self.path.is_file():
            raise UserError(f"{self.path} is a file; name a folder with --out")
        if self.path.exists() and any(self.path.iterdir()) and not (self.path / "settings.json").exists():
            raise UserError(f"{self.path} holds other files; name another folder with --out")

    def _read_settings(self) -> dict[str, Any]:
        path = self.path / "settings.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def _read_cells(self) -> list[Cell]:
        path = self.path / "cells.csv"
        return [Cell(**row) for row in read_csv(path).to_pylist()] if path.exists() else []
