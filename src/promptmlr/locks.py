"""One process at a time: lock files that say who holds them."""

import contextlib
import os
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from promptmlr.errors import EnvironmentFault, UserError

__all__ = ["only_process"]

A_MOMENT = 0.1  # seconds: what a dead process left is found out and taken over within that


@contextlib.contextmanager
def only_process(
    lock: Path,
    busy: str,
    patience: float = 0,
    *,
    elsewhere: str = "name another place",
    progress: Callable[[], object] = lambda: None,
    on_wait: Callable[[], object] = lambda: None,
) -> Iterator[None]:
    """Hold a lock file, in a folder that is made when missing, while the block runs.

    The system frees the lock of a process that dies. Where the file system knows no such locks, the file itself is one:
    that of a dead process on this host is taken over; of one on another host nobody here knows whether it lives.

    Args:
        lock: the file; it names the process and the host that hold it.
        busy: the message where another process holds it.
        patience: seconds to wait for it, counted from the last progress.
        elsewhere: what to do where it cannot be written.
        progress: what changes as long as the other process gets on; nothing unless it is given.
        on_wait: called once, before it is waited for.

    Raises:
        UserError: another process holds it for longer than that.
        EnvironmentFault: it cannot be written.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held, since, seen, told = FileLock(lock), time.monotonic(), progress(), False
        while not _acquired(held):
            if not lock.exists():  # to filelock, a folder where nothing can be made is one whose lock is held
                tempfile.TemporaryFile(dir=lock.parent).close()
            if progress() != seen:
                since, seen = time.monotonic(), progress()
            if time.monotonic() - since > patience:
                raise UserError(f"{busy} ({_holder(lock, held)})")
            if not told:
                on_wait()
                told = True
        if not isinstance(held, SoftFileLock):  # that one writes the same itself
            with contextlib.suppress(OSError):  # Windows lets nobody write what is locked
                lock.write_text(f"{os.getpid()}\n{socket.gethostname()}\n")
    except OSError as error:
        raise EnvironmentFault(f"cannot write {lock.parent}: {error.strerror or error}; {elsewhere}") from error
    try:
        yield
    finally:
        held.release()


def _acquired(held: FileLock) -> bool:
    try:
        # That the file system knows no locks is no news that a person can use.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            held.acquire(timeout=A_MOMENT)
    except Timeout:
        return False
    return True


def _holder(lock: Path, held: FileLock) -> str:
    """Who holds a lock, as far as its file says it, and what to do if that is not so."""
    try:
        pid, host = lock.read_text().split()[:2]
        named = f"process {pid} on {host}"
    except (OSError, ValueError):
        named = "a process that left no name"
    if isinstance(held, SoftFileLock):
        return f"{lock} is held by {named}; if that runs no more, remove the file"
    return f"{lock} is held by {named}"
