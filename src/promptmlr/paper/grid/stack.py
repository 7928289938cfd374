"""A stack: cells of one method that are trained at once. Its state is kept in the grid's folder.

METHOD.unfinished.safetensors    tensors, optimizers and counters of its runs after a finished epoch, and the
                                 predictions of finished folds

The file is removed when its cells are finished. It is valid for the same cells on the same regions only; all other
settings of a cell are compared with `settings.json` before it is read.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from promptmlr.errors import UserError
from promptmlr.features import StoredRegions
from promptmlr.paper.grid.observed import as_asked, observed_as
from promptmlr.paper.grid.plan import Condition
from promptmlr.regions import Indices, RegionSource
from promptmlr.reporting import counted
from promptmlr.run.state import COUNTERS, TENSORS, read_state, write_state
from promptmlr.training import TrainingState

__all__ = ["Outcome", "Stack", "regions_identity"]


@dataclass(frozen=True)
class Outcome:
    """Predictions and training results of the cells of a stack in one fold; without cross-validation there is one fold.

    Attributes:
        rows: (N,) indices, among all test images, of the fold's images that could be read.
        probabilities: (cells, N, C) float32 P(present).
        displacement: (cells, 2) of the presence and the absence map by training (`scoring.displacement`).
        epochs: (cells,) the epoch whose tensors predicted; 0 without training.
        learned: (cells,) numbers of learned parameters.
    """

    rows: Tensor
    probabilities: Tensor
    displacement: Tensor
    epochs: Tensor
    learned: Tensor


@dataclass
class Stack:
    """Cells of one method that are trained at once, fold after fold.

    Attributes:
        method: their method.
        conditions: observed labels and seed of each cell.
        states: one per cell, in the fold that is being trained; changed by training.
        seconds: spent on training so far.
        regions: `regions_identity` of what they are trained on; None before the first epoch.
        done: the folds that are finished.
    """

    method: str
    conditions: Sequence[Condition]
    states: list[TrainingState] = field(default_factory=list)
    seconds: float = 0.0
    regions: str | None = None
    done: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states = self.states or [TrainingState() for _ in self.conditions]

    @property
    def epoch(self) -> int:
        """Finished epochs of the current fold."""
        return self.states[0].epoch

    def save(self, folder: Path) -> None:
        """Write its current state into the folder."""
        groups = {
            f"{index}/{name}": getattr(state, name) for index, state in enumerate(self.states) for name in TENSORS
        }
        groups |= {f"fold {number}": vars(outcome) for number, outcome in enumerate(self.done)}
        counters = {
            "folds": len(self.done),
            "places": list(self.conditions),
            "seconds": self.seconds,
            "regions": self.regions,
            "states": [{name: getattr(state, name) for name in COUNTERS} for state in self.states],
        }
        write_state(_path(folder, self.method), groups, counters)

    def finish_fold(self, outcome: Outcome) -> None:
        """Store the outcome of a fold; the next one begins at epoch 0."""
        self.done.append(outcome)
        self.states = [TrainingState() for _ in self.conditions]

    def remove(self, folder: Path) -> None:
        """Remove the saved state, because its cells are finished."""
        _path(folder, self.method).unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path, method: str) -> "Stack | None":
        """The unfinished one of a method, if there is one.

        Raises:
            UserError: the file is damaged.
        """
        path = _path(folder, method)
        if not path.exists():
            return None
        try:
            groups, counters = read_state(path)
            conditions, states = [], []
            for index, ((observed, seed), entry) in enumerate(zip(counters["places"], counters["states"], strict=True)):
                tensors: dict[str, Any] = {name: groups.get(f"{index}/{name}", {}) for name in TENSORS}
                conditions.append((observed_as(observed), int(seed)))
                states.append(TrainingState(**entry, **tensors))
            done = [Outcome(**groups[f"fold {number}"]) for number in range(counters.get("folds", 0))]
            return cls(method, conditions, states, float(counters["seconds"]), counters["regions"], done)
        except (UserError, SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} is damaged; remove it, and {method} begins anew") from error

    def check_asked(self, folder: Path, wanted: Sequence[Condition]) -> None:
        """Refuse a command that would lose its finished epochs.

        Raises:
            UserError: one of its cells is not asked for.
        """
        if not set(self.conditions) <= set(wanted):
            asked = as_asked(list(dict.fromkeys(condition[0] for condition in self.conditions)))
            folds = f"{counted(len(self.done), 'fold')} and " if self.done else ""
            seeds = counted(1 + max(seed for _, seed in self.conditions), "seed")
            raise UserError(
                f"{_path(folder, self.method)} holds {folds}{counted(self.epoch, 'epoch')} of {asked} with {seeds}; "
                "ask for these cells, or remove the file"
            )

    def check_regions(self, folder: Path, identity: str) -> None:
        """Refuse to continue on other regions than those of the first epochs.

        Raises:
            UserError: the regions differ.
        """
        if self.regions not in (None, identity):
            raise UserError(
                f"{_path(folder, self.method)} was trained on other regions: other images could be read, or there was "
                "more or less room to store them; repeat the first command as it was, or remove the file"
            )
        self.regions = identity


def regions_identity(kept: Indices, source: RegionSource) -> str:
    """A hash that is equal if two runs see the same regions: the same images, in the same number format."""
    storage = source.store.format.storage if isinstance(source, StoredRegions) else "not stored"
    return f"{hashlib.sha256(kept.astype('<i8').tobytes()).hexdigest()} {storage}"


def _path(folder: Path, method: str) -> Path:
    return folder / f"{method}.unfinished.safetensors"
