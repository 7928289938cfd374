"""Following a run while it trains: what others subclass, and TensorBoard as one of them.

`metrics.jsonl` and `metrics.csv` are written whatever follows.
"""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from promptmlr.errors import UserError, nearest, of_extra
from promptmlr.run import RunConfig
from promptmlr.training import EpochReport

__all__ = ["FOLLOWERS", "Follower", "Followers", "TensorBoard", "follower"]


class Follower:
    """Callbacks of a run: subclass it, override what you need, and pass it to `train_run(followers=[…])`.

    They are called in the training process, after the epoch is safely on disk. An exception stops the run, which can be
    continued (`resume=True`).
    """

    def on_start(self, folder: Path, config: RunConfig, earlier: Sequence[EpochReport]) -> None:
        """Before the first epoch.

        Args:
            folder: RUN.partial, which becomes RUN at the end; what is written there stays with the run.
            config: method, recipe, classes, data, seeds.
            earlier: reports of epochs that finished before an interruption; `on_epoch` is not called for them again.
        """

    def on_epoch(self, report: EpochReport) -> None:
        """After every epoch."""

    def on_end(self, metrics: Mapping[str, Any]) -> None:
        """After the last epoch, with what `metrics.json` will say; next the folder is renamed, so close its files."""

    def close(self) -> None:
        """At the very end, also of a run that was interrupted or failed."""


class Followers(Follower):
    """Several as one; a context that closes them.

    Args:
        members: called in this order.
    """

    def __init__(self, members: Sequence[Follower] = ()) -> None:
        self.members = members

    def on_start(self, folder: Path, config: RunConfig, earlier: Sequence[EpochReport]) -> None:
        """As `Follower.on_start`."""
        for member in self.members:
            member.on_start(folder, config, earlier)

    def on_epoch(self, report: EpochReport) -> None:
        """As `Follower.on_epoch`."""
        for member in self.members:
            member.on_epoch(report)

    def on_end(self, metrics: Mapping[str, Any]) -> None:
        """As `Follower.on_end`."""
        for member in self.members:
            member.on_end(metrics)

    def close(self) -> None:
        """As `Follower.close`."""
        for member in self.members:
            member.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class TensorBoard(Follower):
    """Writes events under RUN/tensorboard: loss, rates, selection score and seconds per epoch; settings as text.

    A resumed run writes its earlier epochs again from what the run folder keeps, so no step is missing or doubled,
    whenever it was stopped.

    Raises:
        UserError: the extra is not installed.
    """

    FOLDER = "tensorboard"

    def __init__(self) -> None:
        with of_extra("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter
        self._make = SummaryWriter
        self._writer: Any = None

    def on_start(self, folder: Path, config: RunConfig, earlier: Sequence[EpochReport]) -> None:
        """Settings as text, and what happened before."""
        place = folder / self.FOLDER
        shutil.rmtree(place, ignore_errors=True)
        self._writer = self._make(str(place))
        settings = config.model_dump(mode="json")
        lines = "\n".join(f"    {line}" for line in json.dumps(settings, indent=2, ensure_ascii=False).splitlines())
        self._writer.add_text("config", lines)
        self._writer.add_text("classes", ", ".join(config.class_names))
        when = time.time() - sum(report.seconds for report in earlier)
        for report in earlier:
            when += report.seconds
            self._write(report, when)
        self._writer.flush()

    def on_epoch(self, report: EpochReport) -> None:
        """The numbers of an epoch."""
        self._write(report, time.time())
        self._writer.flush()

    def on_end(self, metrics: Mapping[str, Any]) -> None:
        """What came out; the file is closed, for it is written by name."""
        self._writer.add_text("metrics", json.dumps(metrics))
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, report: EpochReport, when: float) -> None:
        values = {"loss": report.loss, "seconds per epoch": report.seconds}
        values |= {f"rate/{name}": rate for name, rate in report.rates.items()}
        if report.score is not None:
            values["selection mAP"] = report.score
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, report.epoch, walltime=when)


FOLLOWERS: dict[str, type[Follower]] = {"tensorboard": TensorBoard}
"""What `train --log` knows."""


def follower(name: str) -> Follower:
    """The one that `--log` calls by this name.

    Raises:
        UserError: there is none, or its extra is not installed.
    """
    if name not in FOLLOWERS:
        raise UserError(f"--log: unknown {name!r}; {nearest(name, FOLLOWERS)}")
    return FOLLOWERS[name]()
