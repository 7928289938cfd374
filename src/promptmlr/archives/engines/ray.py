"""Ray Data over the machines of a cluster: a shard is a row, and a pool of actors maps rows to outcomes.

Ray Data schedules, streams, scales the pool between its bounds, and repeats the shard of an actor that died. Images do
not pass through Ray: an actor reads its shard and writes its rows itself, so a row here is small, and what is written
is what one process would write.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from promptmlr.archives.job import Job, Outcome
from promptmlr.archives.manifest import Finished
from promptmlr.archives.sources import Shard
from promptmlr.errors import EnvironmentFault, UserError, of_extra
from promptmlr.options import ArchiveOptions

__all__ = ["run_on_ray"]

SECONDS = 10  # to wait for a cluster's address
_STOPPING: dict[str, type[Exception]] = {"user": UserError, "environment": EnvironmentFault}


def run_on_ray(
    job: Job, shards: Iterable[Shard], options: ArchiveOptions, device: str, said: Callable[[int], None]
) -> Iterator[Outcome]:
    """Outcomes as they come.

    Raises:
        UserError: Ray is not installed, or what an actor met.
        EnvironmentFault: there is no cluster at the address, or what an actor met.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # or it writes between our lines
    with of_extra("ray"):
        import ray
        import ray.data
    began = _connected(ray, options.address)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        rows = [
            {"url": one.url, "kind": one.kind, "files": list(one.files), "listed": one.listed or ""} for one in shards
        ]
        if not rows:
            return
        least, most = (min(bound, len(rows)) for bound in options.bounds)
        found = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Actor,
            fn_constructor_args=(job,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most, max_tasks_in_flight_per_actor=2),
            num_cpus=options.cpus,
            num_gpus=1 if device.startswith("cuda") else 0,
        )
        for row in found.iter_rows():
            yield _outcome(row, said)
    except ray.exceptions.RayError as error:
        raise EnvironmentFault(f"Ray: {_last_line(error)}; repeat the command to go on from here") from error
    finally:
        if began:
            ray.shutdown()


class _Actor:
    """Holds the job; one shard at a time."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A row of a shard → a row of its outcome; an error that stops all of them is told, not raised through Ray."""
        (url,), (kind,), (files,), (listed,) = (batch[name] for name in ("url", "kind", "files", "listed"))
        told = {"record": "", "before": False, "fault": "", "stop": ""}
        try:
            outcome = self._job.finish(Shard(str(url), str(kind), tuple(map(str, files)), str(listed) or None))
        except UserError as error:
            told |= {"stop": "user", "fault": str(error)}
        except EnvironmentFault as error:
            told |= {"stop": "environment", "fault": str(error)}
        else:
            record = "" if outcome.record is None else outcome.record.model_dump_json()
            told |= {"record": record, "before": outcome.before, "fault": outcome.fault or ""}
        return {name: np.array([value]) for name, value in told.items()}


def _outcome(row: dict[str, Any], said: Callable[[int], None]) -> Outcome:
    if row["stop"]:
        raise _STOPPING[row["stop"]](row["fault"])
    if not row["record"]:
        return Outcome(fault=row["fault"])
    record = Finished.model_validate_json(row["record"])
    if not row["before"]:
        said(record.rows)
    return Outcome(record, before=bool(row["before"]))


def _last_line(error: Exception) -> str:
    """Of an error of Ray, what an actor met: the lines before are where."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


def _connected(ray: Any, address: str | None) -> bool:
    """Join a cluster, or begin one on this machine; whether this process did so, and has to leave it.

    Raises:
        EnvironmentFault: there is none at the address.
    """
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    ended = signal.getsignal(signal.SIGTERM)
    try:
        _knock(address or "")
        ray.init(address=address or "local", **quiet)
    except SystemExit:  # of Ray's own handler, which it sets on the way
        signal.signal(signal.SIGTERM, ended)
        signal.raise_signal(signal.SIGTERM)
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise EnvironmentFault(
            f"--address {address}: no Ray cluster there ({' '.join(str(error).split())[:160]}); begin one with "
            "`ray start --head`, or leave the option out to use this machine"
        ) from error
    if threading.current_thread() is threading.main_thread():  # where Ray sets a handler that prints a stack
        signal.signal(signal.SIGTERM, ended)
    return True


def _knock(address: str) -> None:
    """Whether anyone listens at host:port: Ray itself tries for minutes; raises `OSError`."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS).close()
