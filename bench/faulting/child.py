"""What a forked process does: it becomes `promptmlr WORDS…`, with as much of a resource as it is left."""

import faulthandler
import itertools
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

__all__ = ["run"]

SECONDS_BETWEEN_STATES = 0.0  # instead of a second: a training that takes a second has as many states as a long one
ROOM_AT_LEAST = -(1 << 50)  # bytes; regions are stored on a disk without room too, as if others filled it meanwhile


def run(words: Sequence[str], folder: Path, log: Path, spare_files: int | None, begun: Connection) -> None:
    """Run one command in a folder; `begun` is told when the work starts.

    Args:
        words: of the command line.
        folder: the current folder; temporary files and the default store lie in it as well.
        log: where it writes what it says, `.out` and `.err`.
        spare_files: how many more files it may open at once; None: as many as usual.
        begun: the end of a pipe.
    """
    os.setsid()  # whatever it starts ends with it
    os.chdir(folder)
    for number, mode in ((1, "out"), (2, "err")):
        handle = os.open(f"{log}.{mode}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, number)
        os.close(handle)
    faulthandler.register(signal.SIGUSR1, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it begins with & ignore it
    os.environ["TMPDIR"], os.environ["PROMPTMLR_CACHE"] = str(folder / "tmp"), str(folder / "cache")
    (folder / "tmp").mkdir(exist_ok=True)
    tempfile.tempdir = None
    sys.argv = ["promptmlr", *words]

    from promptmlr.cli import main
    from promptmlr.features import extraction
    from promptmlr.run import state

    state.SECONDS_BETWEEN = SECONDS_BETWEEN_STATES
    extraction.DISK_LEFT_FREE = ROOM_AT_LEAST
    if spare_files is not None:
        taken = {int(name) for name in os.listdir("/proc/self/fd")}  # noqa: PTH208
        free = (number for number in itertools.count() if number not in taken)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, spare_files, None)), most))
    begun.send_bytes(b"now")
    main()
