"""RUN.partial: a run folder in the making, by one process at a time; it can be gone on with after any interruption.

Of several processes that train one run together, the first alone reads and writes it.
"""

import contextlib
import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import save

from promptmlr.calibration import Calibration
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.features import Storage
from promptmlr.files import replacing, write_bytes, write_text
from promptmlr.labels import Keep
from promptmlr.locks import only_process
from promptmlr.prior_record import PriorRecord
from promptmlr.processes import from_first, only_first
from promptmlr.recognizer import Recognizer
from promptmlr.run import folder
from promptmlr.run.config import RunConfig, first_difference
from promptmlr.run.state import COUNTERS, TENSORS, read_state, write_state
from promptmlr.run.weights import read_tensors, write_weights
from promptmlr.training import EpochReport, TrainingState

__all__ = ["RunInProgress", "Saved"]


@dataclass(frozen=True)
class Saved:
    """What an interrupted run left; of a new one, nothing.

    Attributes:
        state: after the last epoch that was written.
        prior: chosen before the first epoch.
        odds: (N, C) log odds out of fold that it was chosen on, NaN where there are none.
    """

    state: TrainingState = field(default_factory=TrainingState)
    prior: PriorRecord | None = None
    odds: NDArray[np.float64] | None = None


class RunInProgress:
    """RUN.partial: grows epoch by epoch, is renamed to RUN when the run is finished.

    Args:
        path: the final folder.
        config: what is being run.
        keep: (N, C) bool mask.
    """

    def __init__(self, path: str | Path, config: RunConfig, keep: Keep) -> None:
        self.path = Path(path)
        self.partial = folder.partial_of(path)
        self.config = config
        self.keep = keep
        self.reports: list[EpochReport] = []  # of the finished epochs

    @staticmethod
    def check_free(path: str | Path, resume: bool) -> None:
        """Refuse a folder that exists, before any work is done.

        Raises:
            UserError: another process trains it; the run exists; or an unfinished one exists and is not to be resumed,
                or the other way round.
        """

        def check() -> None:
            if _lock_of(path).exists():
                with only_process(_lock_of(path), _busy(path)):
                    pass
            RunInProgress._check_free(path, resume)

        from_first(check)

    @staticmethod
    def _check_free(path: str | Path, resume: bool) -> None:
        path, partial = Path(path), folder.partial_of(path)
        if path.exists() or path.is_symlink():
            raise UserError(f"{path} exists already; name another folder with --out, or remove it")
        unfinished = (partial / folder.CONFIG).is_file()
        if unfinished and not resume:
            raise UserError(f"{partial} holds an unfinished run; go on with --resume, or remove it")
        if resume and not unfinished:
            raise UserError(f"nothing to resume: {partial} holds no unfinished run; leave --resume out")

    @staticmethod
    def begun_dtypes(path: str | Path) -> tuple[torch.dtype, torch.dtype]:
        """Of the image and the text tower, as the first part of an unfinished run had them on its machine.

        Raises:
            UserError: its config is damaged.
        """
        began = from_first(lambda: folder.read_config(folder.partial_of(path) / folder.CONFIG)).backbone
        return getattr(torch, began.dtype), getattr(torch, began.text_dtype)

    @contextlib.contextmanager
    def held(self, resume: bool) -> Iterator[Saved]:
        """Be the one process that trains this run; gives what an interrupted one left.

        A folder in which no epoch was finished is removed again when bad input or the disk stops the run: it holds
        nothing to go on with.

        Raises:
            UserError: another process trains it, it exists, it was started with other settings, or is damaged.
            EnvironmentFault: it cannot be written.
        """
        with contextlib.ExitStack() as stack:
            yield from_first(lambda: stack.enter_context(self._held(resume)))

    @contextlib.contextmanager
    def _held(self, resume: bool) -> Iterator[Saved]:
        with self._locked():
            self._check_free(self.path, resume)
            saved = self._saved() if resume else Saved()
            try:
                if not resume:
                    self._begin()
                yield saved
            except (UserError, EnvironmentFault):
                if not self.reports:
                    shutil.rmtree(self.partial, ignore_errors=True)
                raise

    def settle_storage(self, storage: Storage | None, sampling: str | None = None) -> None:
        """Once it is known what the regions are stored as (None: not stored): write it down, or compare with before.

        Args:
            storage: their number format.
            sampling: how an epoch goes through them, as `JobRegions.sampling`.

        Raises:
            UserError: the first part of the run saw others, so the rest would not go on to the same weights.
        """
        from_first(lambda: self._settle_storage(storage, sampling))

    def _settle_storage(self, storage: Storage | None, sampling: str | None) -> None:
        if self.reports and self.config.storage != storage:
            raise UserError(
                f"{self.partial} was trained on regions {_stored(self.config.storage)}, and now they are "
                f"{_stored(storage)}; repeat the first command with as much room for the store as it had"
            )
        if self.reports and self.config.sampling != sampling:
            raise UserError(
                f"{self.partial} went through its images in another order; repeat the first command, on the same store"
            )
        if (self.config.storage, self.config.sampling) != (storage, sampling):
            self.config = self.config.model_copy(update={"storage": storage, "sampling": sampling})
            folder.write_json(self.partial / folder.CONFIG, self.config)

    @only_first
    def keep_prior(self, record: PriorRecord, odds: NDArray[np.float64] | None) -> None:
        """Before the first epoch: a resumed run neither fits nor chooses again."""
        if odds is not None:
            rows = np.flatnonzero(~np.isnan(odds).all(axis=1))
            tensors = {"rows": torch.from_numpy(rows), "odds": torch.from_numpy(odds[rows])}
            write_bytes(self.partial / folder.ODDS, save(tensors))
        folder.write_json(self.partial / folder.PRIOR, record)

    def add(self, report: EpochReport) -> None:
        """A finished epoch; its line is written with the next state."""
        self.reports.append(report)

    @only_first
    def save(self, state: TrainingState) -> None:
        """All that a resumed run needs, and the lines of the epochs up to here."""
        counters: dict[str, Any] = {name: getattr(state, name) for name in COUNTERS}
        groups = {name: getattr(state, name) for name in TENSORS}
        write_state(self.partial / folder.STATE, groups, {**counters, "lines": self._lines()})
        self._write_epochs()

    def finish(
        self,
        recognizer: Recognizer,
        metrics: dict[str, Any],
        calibration: Calibration | None = None,
        zero_shot: Recognizer | None = None,
    ) -> Path:
        """Write weights, calibration and final metrics, and give the folder its name.

        Args:
            recognizer: trained. A scaling that it learned is in the calibration as well.
            metrics: what came out.
            calibration: None leaves logits as they are trained.
            zero_shot: what `keep_prior` is about, folded.
        """
        return from_first(lambda: self._finish(recognizer, metrics, calibration, zero_shot))

    def _finish(
        self,
        recognizer: Recognizer,
        metrics: dict[str, Any],
        calibration: Calibration | None,
        zero_shot: Recognizer | None,
    ) -> Path:
        self._write_mask()  # again, as the epochs: an interrupted process may have left neither whole
        self._write_epochs()
        write_weights(self.partial / folder.WEIGHTS, recognizer, zero_shot)
        if calibration is not None:
            folder.write_json(self.partial / folder.CALIBRATION, calibration)
        folder.write_json(self.partial / folder.METRICS, metrics)
        self.partial.rename(self.path)
        for rest in (*map(self.path.joinpath, folder.OF_UNFINISHED), *self.path.glob(".*.tmp")):
            with contextlib.suppress(OSError):  # the run is whole, whatever else lies in it
                rest.unlink()
        return self.path

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = _lock_of(self.path)
        with only_process(lock, _busy(self.path)):
            try:
                yield
            finally:
                if not (self.partial / folder.CONFIG).exists():  # finished, or never begun
                    shutil.rmtree(self.partial, ignore_errors=True)
                    with contextlib.suppress(OSError):  # Windows removes it with its release
                        lock.unlink()

    def _begin(self) -> None:
        """Write what is known before the first epoch; the config last, so that whoever finds it finds all."""
        self._write_mask()
        folder.write_json(self.partial / folder.CONFIG, self.config)

    def _saved(self) -> Saved:
        """What is in the folder, once it is known to be of the same settings."""
        before = folder.read_config(self.partial / folder.CONFIG)
        wanted = self.config
        if before.storage is None:  # it may have been asked for, and had no room
            wanted = wanted.model_copy(update={"storage": None})
        wanted = wanted.model_copy(update={"sampling": before.sampling})  # settled once regions are found
        difference = first_difference(before, wanted)
        if difference is not None:
            raise UserError(f"{self.partial} was started with another {difference}; repeat the first command")
        self.config = before
        return Saved(self._saved_state(), *self._saved_prior())

    def _saved_state(self) -> TrainingState:
        path = self.partial / folder.STATE
        if not path.is_file():
            return TrainingState()
        try:
            groups, counters = read_state(path)
            self.reports = [EpochReport(**json.loads(line)) for line in counters.pop("lines")]
            tensors: dict[str, Any] = {name: groups.get(name, {}) for name in TENSORS}
            return TrainingState(**counters, **tensors)
        except (UserError, SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} is damaged; remove {self.partial} and train again") from error

    def _saved_prior(self) -> tuple[PriorRecord | None, NDArray[np.float64] | None]:
        path, beside = self.partial / folder.PRIOR, self.partial / folder.ODDS
        if not path.is_file():
            return None, None
        record = folder.read_prior(path)
        if not beside.is_file():
            return record, None
        kept = read_tensors(beside)
        odds = np.full(self.keep.shape, np.nan)
        try:
            odds[kept["rows"].numpy()] = kept["odds"].numpy()
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(f"{beside} is damaged ({error}); remove {self.partial} and train again") from error
        return record, odds

    def _write_mask(self) -> None:
        with replacing(self.partial / folder.MASK) as file:
            np.save(file, self.keep, allow_pickle=False)

    def _lines(self) -> list[str]:
        return [json.dumps(asdict(report)) for report in self.reports]

    def _write_epochs(self) -> None:
        write_text(self.partial / folder.EPOCHS, "".join(f"{line}\n" for line in self._lines()))
        write_text(self.partial / folder.EPOCHS_TABLE, _as_csv(self.reports))


def _lock_of(path: str | Path) -> Path:
    return Path(f"{folder.partial_of(path)}.lock")


def _busy(path: str | Path) -> str:
    return f"another process is training {path}; name another folder with --out"


def _as_csv(reports: list[EpochReport]) -> str:
    """A line per epoch; rates are columns of their own, named after their tensor."""
    rows = []
    for report in reports:
        row = asdict(report)
        rates = row.pop("rates")
        rows.append(row | {f"rate {name}": rate for name, rate in rates.items()})
    columns = dict.fromkeys(key for row in rows for key in row) or {"epoch": None}
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _stored(storage: Storage | None) -> str:
    return "that were not stored" if storage is None else f"stored as {storage}"
