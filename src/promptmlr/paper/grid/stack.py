"""A stack: cells of one method that are trained at once. Its state is kept in the grid's folder.

METHOD.unfinished.safetensors    tensors, optimizers and counters of its runs after a finished epoch, and what
                                 was said of the images of finished folds

The file goes when its cells are finished. It is good for the same cells on the same regions alone; what else decides
a cell is compared in `settings.json` before.
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
from promptmlr.paper.grid.plan import Place
from promptmlr.regions import Indices, RegionSource
from promptmlr.reporting import counted
from promptmlr.run.state import COUNTERS, TENSORS, read_state, write_state
from promptmlr.training import TrainingState

__all__ = ["Outcome", "Stack", "regions_identity"]


@dataclass(frozen=True)
class Outcome:
    """What the cells of a stack came to in one fold; without folds there is one.

    Attributes:
        rows: (N,) which of the test images those of the fold are that could be read.
        said: (cells, N, C) float32, P(present) of each of them.
        moved: (cells, 2) how far training moved the presence and the absence side.
        epochs: (cells,) whose tensors spoke; 0 without training.
        learned: (cells,) numbers of learned parameters.
    """

    rows: Tensor
    said: Tensor
    moved: Tensor
    epochs: Tensor
    learned: Tensor


@dataclass
class Stack:
    """Cells of one method that are trained at once, fold after fold.

    Attributes:
        method: their method.
        places: of the cells.
        states: one per cell, in the fold that is being trained; changed by training.
        seconds: of training so far.
        regions: `regions_identity` of what they are trained on; None before the first epoch.
        done: the folds that are finished.
    """

    method: str
    places: Sequence[Place]
    states: list[TrainingState] = field(default_factory=list)
    seconds: float = 0.0
    regions: str | None = None
    done: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states = self.states or [TrainingState() for _ in self.places]

    @property
    def epoch(self) -> int:
        """Finished epochs of the present fold."""
        return self.states[0].epoch

    def save(self, folder: Path) -> None:
        """Keep it as it is now."""
        groups = {
            f"{index}/{name}": getattr(state, name) for index, state in enumerate(self.states) for name in TENSORS
        }
        groups |= {f"fold {number}": vars(outcome) for number, outcome in enumerate(self.done)}
        counters = {
            "folds": len(self.done),
            "places": list(self.places),
            "seconds": self.seconds,
            "regions": self.regions,
            "states": [{name: getattr(state, name) for name in COUNTERS} for state in self.states],
        }
        write_state(_path(folder, self.method), groups, counters)

    def finish_fold(self, outcome: Outcome) -> None:
        """Keep what a fold came to; the next one begins at epoch 0."""
        self.done.append(outcome)
        self.states = [TrainingState() for _ in self.places]

    def remove(self, folder: Path) -> None:
        """Forget what was kept: its cells are finished."""
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
            places, states = [], []
            for index, ((observed, seed), entry) in enumerate(zip(counters["places"], counters["states"], strict=True)):
                tensors: dict[str, Any] = {name: groups.get(f"{index}/{name}", {}) for name in TENSORS}
                places.append((observed_as(observed), int(seed)))
                states.append(TrainingState(**entry, **tensors))
            done = [Outcome(**groups[f"fold {number}"]) for number in range(counters.get("folds", 0))]
            return cls(method, places, states, float(counters["seconds"]), counters["regions"], done)
        except (UserError, SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} is damaged; remove it, and {method} begins anew") from error

    def check_asked(self, folder: Path, wanted: Sequence[Place]) -> None:
        """Refuse to lose its epochs.

        Raises:
            UserError: one of its cells is not among those that are wanted.
        """
        if not set(self.places) <= set(wanted):
            asked = as_asked(list(dict.fromkeys(place[0] for place in self.places)))
            folds = f"{counted(len(self.done), 'fold')} and " if self.done else ""
            raise UserError(
                f"{_path(folder, self.method)} holds {folds}{counted(self.epoch, 'epoch')} of {asked} with "
                f"{counted(1 + max(seed for _, seed in self.places), 'seed')}; ask for these cells, or remove the file"
            )

    def check_regions(self, folder: Path, identity: str) -> None:
        """Go on with the same regions alone.

        Raises:
            UserError: the first epochs saw others.
        """
        if self.regions not in (None, identity):
            raise UserError(
                f"{_path(folder, self.method)} was trained on other regions: other images could be read, or there was "
                "more or less room to store them; repeat the first command as it was, or remove the file"
            )
        self.regions = identity


def regions_identity(kept: Indices, source: RegionSource) -> str:
    """Tells whether runs see the same regions: which images of the data set, and their number format."""
    storage = source.store.format.storage if isinstance(source, StoredRegions) else "not stored"
    return f"{hashlib.sha256(kept.astype('<i8').tobytes()).hexdigest()} {storage}"


def _path(folder: Path, method: str) -> Path:
    return folder / f"{method}.unfinished.safetensors"
