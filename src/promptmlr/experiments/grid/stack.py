"""A stack: cells of one method that are trained at once. Its state is kept in the grid's folder after every epoch.

METHOD.unfinished.safetensors    tensors, optimizers and counters of its runs after the last finished epoch

The file goes when its cells are finished. It is good for the same cells on the same regions alone; what else decides
a cell is compared in `settings.json` before.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from promptmlr.errors import UserError
from promptmlr.experiments.grid.observed import as_asked, observed_as
from promptmlr.experiments.grid.plan import Place
from promptmlr.features import StoredRegions
from promptmlr.regions import Indices, RegionSource
from promptmlr.reporting import counted
from promptmlr.training import TrainingState
from promptmlr.unfinished import read_state, write_state

__all__ = ["Stack", "regions_identity"]

_TENSORS = ("learned", "optimizer", "best")
_COUNTERS = ("epoch", "best_epoch", "best_score")


@dataclass
class Stack:
    """Cells of one method that are trained at once.

    Attributes:
        method: their method.
        places: of the cells.
        states: one per cell; changed by training.
        seconds: of training so far.
        regions: `regions_identity` of what they are trained on; None before the first epoch.
    """

    method: str
    places: Sequence[Place]
    states: list[TrainingState] = field(default_factory=list)
    seconds: float = 0.0
    regions: str | None = None

    def __post_init__(self) -> None:
        self.states = self.states or [TrainingState() for _ in self.places]

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return self.states[0].epoch

    def save(self, folder: Path) -> None:
        """Keep it as it is now."""
        groups = {
            f"{index}/{name}": getattr(state, name) for index, state in enumerate(self.states) for name in _TENSORS
        }
        counters = {
            "places": list(self.places),
            "seconds": self.seconds,
            "regions": self.regions,
            "states": [{name: getattr(state, name) for name in _COUNTERS} for state in self.states],
        }
        write_state(_path(folder, self.method), groups, counters)

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
                tensors: dict[str, Any] = {name: groups.get(f"{index}/{name}", {}) for name in _TENSORS}
                places.append((observed_as(observed), int(seed)))
                states.append(TrainingState(**entry, **tensors))
            return cls(method, places, states, float(counters["seconds"]), counters["regions"])
        except (UserError, SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} is damaged; remove it, and {method} begins anew") from error

    def check_asked(self, folder: Path, wanted: Sequence[Place]) -> None:
        """Refuse to lose its epochs.

        Raises:
            UserError: one of its cells is not among those that are wanted.
        """
        if not set(self.places) <= set(wanted):
            asked = as_asked(list(dict.fromkeys(place[0] for place in self.places)))
            raise UserError(
                f"{_path(folder, self.method)} holds {counted(self.epoch, 'epoch')} of {asked} with "
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
