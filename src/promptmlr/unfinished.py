"""RUN.partial: a run folder in the making, by one process at a time; it can be gone on with after any interruption.

Besides what a run folder holds (`promptmlr.run`):

    state.safetensors    tensors, optimizer and counters after an epoch: the last, or one finished about a second before
    odds.safetensors     log odds of known labels out of fold, where a prior's strength was chosen on them

Beside it, RUN.partial.lock is held by the process that trains: inside, it would keep Windows from renaming the folder.
"""

import contextlib
import csv
import io
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from promptmlr.calibration import Calibration
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.features import Storage
from promptmlr.files import replacing, write_bytes, write_text
from promptmlr.labels import Keep
from promptmlr.locks import only_process
from promptmlr.prior_record import PriorRecord
from promptmlr.recognizer import Recognizer
from promptmlr.run import RunConfig, read_config, read_prior, read_tensors

__all__ = ["Due", "RunInProgress", "read_state", "write_state"]

SECONDS_BETWEEN = 1.0  # written states; where an epoch takes milliseconds, writing each would take longer than training

Groups = dict[str, dict[str, Tensor]]


def write_state(path: Path, groups: Groups, counters: dict[str, Any]) -> None:
    """Tensors by group (group names without a dot) and counters as one safetensors file, whole or not at all."""
    tensors = {f"{group}.{name}": tensor.clone() for group, part in groups.items() for name, tensor in part.items()}
    write_bytes(path, save(tensors, {"counters": json.dumps(counters)}))


def read_state(path: Path) -> tuple[Groups, dict[str, Any]]:
    """What `write_state` wrote; a group without tensors is left out.

    Raises:
        UserError: the file is damaged.
        KeyError, TypeError, ValueError: it is whole, and no such state.
    """
    groups: Groups = {}
    for key, tensor in read_tensors(path).items():
        group, name = key.split(".", 1)
        groups.setdefault(group, {})[name] = tensor
    with safe_open(path, "pt") as file:
        counters: dict[str, Any] = json.loads(file.metadata()["counters"])
    return groups, counters


class Due:
    """Tells when to write the state of a training: after every long epoch, after short ones once in a while."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def after(self, epoch: int, epochs: int) -> bool:
        """Whether to write now; after the last epoch in any case."""
        now = time.monotonic()
        if epoch < epochs and now - self._last < SECONDS_BETWEEN:
            return False
        self._last = now
        return True


class RunInProgress:
    """RUN.partial: grows epoch by epoch, is renamed to RUN when the run is finished.

    Args:
        path: the final folder.
        config: what is being run.
        keep: (N, C) bool mask.
    """

    def __init__(self, path: str | Path, config: RunConfig, keep: Keep) -> None:
        self.path = Path(path)
        self.partial = Path(f"{path}.partial")
        self.config = config
        self.keep = keep
        self.lines: list[str] = []

    @staticmethod
    def check_free(path: str | Path, resume: bool) -> None:
        """Refuse a folder that exists, before any work is done.

        Raises:
            UserError: the run exists; or an unfinished one exists and is not to be resumed, or the other way round.
        """
        path, partial = Path(path), Path(f"{path}.partial")
        if path.exists() or path.is_symlink():
            raise UserError(f"{path} exists already; name another folder with --out, or remove it")
        unfinished = (partial / "config.json").is_file()
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
        began = read_config(Path(f"{path}.partial") / "config.json").backbone
        return getattr(torch, began.dtype), getattr(torch, began.text_dtype)

    @contextlib.contextmanager
    def held(self, resume: bool) -> Iterator[dict[str, Any]]:
        """Be the one process that trains this run; gives what the last finished epoch left, or nothing.

        A folder in which no epoch was finished is removed again when bad input or the disk stops the run: it holds
        nothing to go on with.

        Raises:
            UserError: another process trains it, it exists, or it was started with other settings.
            EnvironmentFault: it cannot be written.
        """
        with self._locked():
            self.check_free(self.path, resume)
            saved = self._saved() if resume else {}
            try:
                if not resume:
                    self._begin()
                yield saved
            except (UserError, EnvironmentFault):
                if not self.lines:
                    shutil.rmtree(self.partial, ignore_errors=True)
                raise

    def settle_storage(self, storage: Storage | None) -> None:
        """Once it is known what the regions are stored as (None: not stored): write it down, or compare with before.

        Raises:
            UserError: the first part of the run saw others, so the rest would not go on to the same weights.
        """
        if self.lines and self.config.storage != storage:
            raise UserError(
                f"{self.partial} was trained on regions {_stored(self.config.storage)}, and now they are "
                f"{_stored(storage)}; repeat the first command with as much room for the store as it had"
            )
        if self.config.storage != storage:
            self.config = self.config.model_copy(update={"storage": storage})
            write_text(self.partial / "config.json", self.config.model_dump_json(indent=2) + "\n")

    def prior(self, images: int) -> tuple[PriorRecord | None, NDArray[np.float64] | None]:
        """What `keep_prior` kept: the record, and (N, C) log odds out of fold.

        Raises:
            UserError: it is damaged.
        """
        path, beside = self.partial / "prior.json", self.partial / "odds.safetensors"
        if not path.is_file():
            return None, None
        record = read_prior(path)
        if not beside.is_file():
            return record, None
        kept = read_tensors(beside)
        odds = np.full((images, kept["odds"].shape[1]), np.nan)
        odds[kept["rows"].numpy()] = kept["odds"].numpy()
        return record, odds

    def keep_prior(self, record: PriorRecord, odds: NDArray[np.float64] | None) -> None:
        """Before the first epoch: a resumed run neither fits nor chooses again."""
        if odds is not None:
            rows = np.flatnonzero(~np.isnan(odds).all(axis=1))
            tensors = {"rows": torch.from_numpy(rows), "odds": torch.from_numpy(odds[rows])}
            write_bytes(self.partial / "odds.safetensors", save(tensors))
        write_text(self.partial / "prior.json", record.model_dump_json(indent=2) + "\n")

    def add(self, line: dict[str, Any]) -> None:
        """The metrics line of a finished epoch; it is written with the next state."""
        self.lines.append(json.dumps(line))

    def save(self, groups: Groups, counters: dict[str, Any]) -> None:
        """All that a resumed run needs, and the metrics lines up to here."""
        write_state(self.partial / "state.safetensors", groups, {**counters, "lines": self.lines})
        self._write_lines()

    def epochs(self) -> list[dict[str, Any]]:
        """The metrics lines of the finished epochs."""
        return [json.loads(line) for line in self.lines]

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
        folded = recognizer.fold()
        folded.scaling = None
        forms = {"learned": recognizer, "folded": folded, "prior": zero_shot}
        tensors = {
            f"{form}.{name}": tensor.detach().cpu().contiguous()
            for form, part in forms.items()
            if part is not None
            for name, tensor in part.state_dict().items()
        }
        self._write_mask()  # again, as the lines: an interrupted process may have left neither whole
        self._write_lines()
        write_bytes(self.partial / "weights.safetensors", save(tensors))
        if calibration is not None:
            write_text(self.partial / "calibration.json", calibration.model_dump_json(indent=2) + "\n")
        write_text(self.partial / "metrics.json", json.dumps(metrics, indent=2) + "\n")
        self.partial.rename(self.path)
        made = ("state.safetensors", "odds.safetensors", "lock")  # the last of a version before
        for rest in (*(self.path / name for name in made), *self.path.glob(".*.tmp")):
            rest.unlink(missing_ok=True)
        return self.path

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        busy = f"another process is training {self.path}; name another folder with --out"
        lock = Path(f"{self.partial}.lock")
        with only_process(lock, busy):
            try:
                yield
            finally:
                if not (self.partial / "config.json").exists():  # finished, or never begun
                    shutil.rmtree(self.partial, ignore_errors=True)
                    with contextlib.suppress(OSError):  # Windows removes it with its release
                        lock.unlink()

    def _begin(self) -> None:
        """Write what is known before the first epoch; the config last, so that whoever finds it finds all."""
        self._write_mask()
        write_text(self.partial / "config.json", self.config.model_dump_json(indent=2) + "\n")

    def _saved(self) -> dict[str, Any]:
        """What the last finished epoch left: tensors by group, and counters; empty before the first."""
        before = read_config(self.partial / "config.json")
        wanted = self.config
        if before.storage is None:  # it may have been asked for, and had no room
            wanted = wanted.model_copy(update={"storage": None})
        difference = _first_difference(before, wanted)
        if difference is not None:
            raise UserError(f"{self.partial} was started with another {difference}; repeat the first command")
        self.config = before
        state = self.partial / "state.safetensors"
        if not state.is_file():
            return {}
        try:
            found, counters = read_state(state)
            groups = {name: found.get(name, {}) for name in ("learned", "optimizer", "best")}
            self.lines = counters.pop("lines")
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{state} is damaged ({error}); remove {self.partial} and train again") from error
        return groups | counters

    def _write_mask(self) -> None:
        with replacing(self.partial / "mask.npy") as file:
            np.save(file, self.keep, allow_pickle=False)

    def _write_lines(self) -> None:
        write_text(self.partial / "metrics.jsonl", "".join(f"{line}\n" for line in self.lines))
        write_text(self.partial / "metrics.csv", _as_csv(self.epochs()))


def _as_csv(epochs: list[dict[str, Any]]) -> str:
    """A line per epoch; rates are columns of their own, named after their tensor."""
    rows = [
        {key: value for key, value in epoch.items() if key != "rates"}
        | {f"rate {name}": rate for name, rate in epoch.get("rates", {}).items()}
        for epoch in epochs
    ]
    columns = dict.fromkeys(key for row in rows for key in row) or {"epoch": None}
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _stored(storage: Storage | None) -> str:
    return "that were not stored" if storage is None else f"stored as {storage}"


def _first_difference(saved: BaseModel, wanted: BaseModel, where: str = "") -> str | None:
    """The first setting in which two configs differ, as "recipe.epochs: 5, now 6"; versions may differ."""
    for name in type(wanted).model_fields:
        one, other = getattr(saved, name), getattr(wanted, name)
        if one == other or name == "versions":
            continue
        if isinstance(one, BaseModel) and isinstance(other, BaseModel):
            return _first_difference(one, other, f"{where}{name}.")
        return f"{where}{name}: {one!s:.80}, now {other!s:.80}"
    return None
