"""The finished cells of a grid on disk, with their settings, so that an interrupted grid continues from them.

settings.json        the kind of grid, and the settings of its cells per method and observed fraction
cells.csv            the finished cells
resampled.parquet    the mAP of each cell on resamples of the test images, from which all intervals are computed

A cell counts as finished once both tables hold it.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow.csv import read_csv

from promptmlr.errors import UserError
from promptmlr.files import replacing, write_text
from promptmlr.locks import only_process
from promptmlr.paper.grid.observed import Observed, observed_as
from promptmlr.paper.grid.results import OTHER_METRICS, GridResults
from promptmlr.report.tables import csv_text

__all__ = ["Cell", "GridFolder", "Key", "settings_key"]

Key = tuple[str, Observed, int, str]
LOCK = ".lock"
FILES = ("settings.json", "cells.csv", "resampled.parquet")
SETTINGS = {
    "order_seed": "--order-seed",
    "storage": "--storage",
    "train": "set of training images",
    "training_labels": "set of training labels",
    "test": "set of test images",
    "test_labels": "set of test labels",
    "class_names": "set of classes",
    "select": "--select",
    "folds": "--folds",
    "unseen": "--unseen",
    "rule": "rule of training (--epochs, --most-epochs)",
}
"""Names for messages of settings whose key does not explain itself."""
SHORT = 40  # letters of a value that is shown
KIND = "kind"  # the key of the grid's kind among the settings


@dataclass(frozen=True)
class Cell:
    """The scores of one run of the grid on a group of classes: a line of `cells.csv`."""

    method: str
    observed: Observed
    seed: int
    mean_ap: float  # this, the next four and the last two: as `scoring.Score` has them
    cf1: float
    of1: float
    presence_displacement: float
    absence_displacement: float
    learned_parameters: int
    epoch: int  # the epoch whose tensors were scored; 0 without training
    seconds: float  # of training the runs of the method that were trained at once, divided by their number
    log_loss: float | None = None  # None: written by a version without it; also the next field
    calibration_error: float | None = None
    classes: str = "all"  # the scored classes: all, seen or unseen (`grid.unseen`)
    cf1_top3: float | None = None  # None: written by a version without it; also the next two
    of1_top3: float | None = None
    f1_at_3: float | None = None

    @property
    def key(self) -> Key:
        """Method, observed labels, seed and group of classes."""
        return self.method, self.observed, self.seed, self.classes


_LATER_SHARES = ("calibration_error", "cf1_top3", "of1_top3", "f1_at_3")  # which older versions did not store
_NUMBERS = [field.name for field in fields(Cell) if field.name not in ("method", "observed", "classes")]


def settings_key(method: str, observed: Observed) -> str:
    """The key in `settings.json` of a method's settings at a fraction."""
    return f"{method} at {observed}"


class GridFolder:
    """A folder of cells.

    Args:
        path: the folder; it may hold cells of other methods.
        kind: the command that makes these cells; one folder holds one kind.

    Attributes:
        cells: (method, observed, seed, classes) → cell, with `observed` as in `grid.observed`.
        resampled: the same key → (S,) mAP on resamples of the test images.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self.kind = kind
        self.cells: dict[Key, Cell] = {}
        self.resampled: dict[Key, NDArray[np.float64]] = {}

    @contextmanager
    def held(self, settings: Mapping[str, Any]) -> Iterator[None]:
        """Hold the folder's lock while cells are added; reads the cells that are there.

        Args:
            settings: `settings_key` → all settings of its cells but the seed.

        Raises:
            UserError: another process works in the folder, or it holds something else, another kind of grid, or
                cells of the same methods and fractions with other settings.
        """
        self._check_free()
        busy = f"another process is at work in {self.path}; name another folder with --out"
        with only_process(self.path / LOCK, busy):
            try:
                found = self._read_settings()
                self.resampled = self._read_resampled()
                self.cells = {cell.key: cell for cell in self._read_cells() if cell.key in self.resampled}
                self._check_settings(found)
            except (OSError, ValueError, TypeError, KeyError, RecursionError, pa.ArrowInvalid) as error:
                raise UserError(f"{self.path} is damaged ({error}); name another folder with --out") from error
            kind = found.get(KIND, {}).get("name")
            if found and kind != self.kind:
                raise UserError(f"{self.path} holds the work of `{kind}`, not of `{self.kind}`; name another --out")
            wanted = {KIND: {"name": self.kind}} | json.loads(json.dumps(settings))
            for name in sorted(wanted.keys() & found.keys()):
                differ = [key for key in wanted[name] if found[name].get(key) != wanted[name][key]]
                if differ:
                    what = _difference(differ[0], found[name].get(differ[0]), wanted[name][differ[0]])
                    raise UserError(
                        f"{self.path} holds cells of {name} with {what}; name another folder with --out, or repeat "
                        "the first command"
                    )
            for name in FILES:  # of a process that was killed while it wrote; others are written without the lock
                for left in self.path.glob(f".{name}.*.tmp"):
                    left.unlink()
            write_text(self.path / "settings.json", json.dumps(found | wanted, indent=2) + "\n")
            yield

    def has(self, method: str, observed: Observed, seed: int) -> bool:
        """Whether a cell is finished."""
        return (method, observed, seed, "all") in self.cells

    def has_all(self, method: str, observed: Observed, seeds: int) -> bool:
        """Whether the cells of the first `seeds` seeds are finished."""
        return all(self.has(method, observed, seed) for seed in range(seeds))

    def add(self, cell: Cell, resampled: NDArray[np.float64]) -> None:
        """Add a finished cell and its mAP (S,) on resamples of the test images; `save` writes it."""
        self.cells[cell.key] = cell
        self.resampled[cell.key] = resampled

    def save(self) -> None:
        """Write all cells."""
        rows = [
            {"method": method, "observed": str(observed), "seed": seed, "classes": classes, "mean_ap": resampled}
            for (method, observed, seed, classes), resampled in self.resampled.items()
        ]
        with replacing(self.path / "resampled.parquet") as file:
            pq.write_table(pa.Table.from_pylist(rows), file)
        columns = [field.name for field in fields(Cell)]
        write_text(self.path / "cells.csv", csv_text(columns, map(asdict, self.cells.values())))

    def results(
        self, methods: Sequence[str], observed: Sequence[Observed], seeds: int, classes: str = "all"
    ) -> GridResults:
        """The scores of a finished grid on one group of classes, as arrays; no cell may be missing."""
        keys = [[[(method, seen, n, classes) for n in range(seeds)] for seen in observed] for method in methods]
        cells = [[[self.cells[key] for key in row] for row in rows] for rows in keys]

        def of_cells(name: str) -> NDArray[np.float64]:
            return np.array([[[getattr(cell, name) for cell in row] for row in rows] for rows in cells], np.float64)

        return GridResults(
            methods,
            observed,
            of_cells("mean_ap"),
            np.array([[[self.resampled[key] for key in row] for row in rows] for rows in keys]),
            [[row[0].learned_parameters for row in rows] for rows in cells],
            {name: of_cells(name) for name in OTHER_METRICS},
        )

    def _check_free(self) -> None:
        if self.path.is_file():
            raise UserError(f"{self.path} is a file; name a folder with --out")
        found = {entry.name for entry in self.path.iterdir()} if self.path.exists() else set()
        if found - {LOCK} and "settings.json" not in found:
            raise self._not_ours()

    def _not_ours(self) -> UserError:
        return UserError(f"{self.path} holds other files; name another folder with --out")

    def _read_settings(self) -> dict[str, dict[str, Any]]:
        path = self.path / "settings.json"
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if found and isinstance(found, dict) and KIND not in found:
            raise self._not_ours()
        if not isinstance(found, dict) or not all(isinstance(setting, dict) for setting in found.values()):
            raise ValueError("settings.json holds no settings")
        return found

    def _check_settings(self, found: Mapping[str, object]) -> None:
        if self.cells and not found.keys() - {KIND}:
            raise ValueError("settings.json holds none, and there are cells")

    def _read_resampled(self) -> dict[Key, NDArray[np.float64]]:
        path = self.path / "resampled.parquet"
        begun = path.exists() or (self.path / "cells.csv").exists()
        rows = pq.read_table(path).to_pylist() if begun else []
        found = {
            (row["method"], _observed(row["observed"]), row["seed"], row.get("classes", "all")): np.array(
                row["mean_ap"], dtype=np.float64
            )
            for row in rows
        }
        if len({scores.shape for scores in found.values()}) > 1 or len(found) < len(rows):
            raise ValueError("resampled.parquet holds lists of different lengths, or a cell twice")
        if any(np.isnan(scores).all() or (scores < 0).any() or (scores > 1).any() for scores in found.values()):
            raise ValueError("resampled.parquet holds no mAPs in 0..1")
        return found

    def _read_cells(self) -> list[Cell]:
        path = self.path / "cells.csv"
        rows = read_csv(path).to_pylist() if path.exists() else []
        needed = {field.name for field in fields(Cell) if field.default is MISSING}
        if rows and not needed <= rows[0].keys() <= {field.name for field in fields(Cell)}:
            raise ValueError("cells.csv has the columns of another version of promptmlr")
        cells = [Cell(**row | {"observed": _observed(row["observed"])}) for row in rows]
        for number, cell in enumerate(cells, start=2):
            if not all(isinstance(getattr(cell, name), int | float | None) for name in _NUMBERS):
                raise ValueError(f"cells.csv, row {number}: scores and counts are numbers")
            later = [getattr(cell, name) or 0 for name in _LATER_SHARES]
            if not all(0 <= score <= 1 for score in (cell.mean_ap, cell.cf1, cell.of1, *later)):
                raise ValueError(f"cells.csv, row {number}: scores lie in 0..1")
            if not 0 <= (cell.log_loss or 0) < math.inf:
                raise ValueError(f"cells.csv, row {number}: a log loss is a number of nats")
        if len({cell.key for cell in cells}) < len(cells):
            raise ValueError("cells.csv holds a cell twice")
        return cells


def _observed(value: float | str) -> Observed:
    try:
        return observed_as(value)
    except UserError as error:
        raise ValueError(error) from error


def _difference(key: str, there: object, here: object) -> str:
    """The setting that differs, as the options call it, with both values if they are short."""
    name = SETTINGS.get(key, key.replace("_", " "))
    if isinstance(there, dict) and isinstance(here, dict):
        part = next(one for one in here | there if (one in here, here.get(one)) != (one in there, there.get(one)))
        name, there, here = f"{name}, {part.replace('_', ' ')}", there.get(part), here.get(part)
    values = [json.dumps(value, ensure_ascii=False) for value in (there, here)]
    short = all(len(value) <= SHORT for value in values)
    return f"another {name}" + (f" ({values[0]} there, {values[1]} here)" if short else "")
