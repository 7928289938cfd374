"""A command as a process, forked from one that has imported everything, and how it ended."""

import multiprocessing
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from faulting.child import run

__all__ = ["Job", "Outcome", "prepare"]

STARTING = 120.0  # seconds, in which everything is imported
DONE, FAULT, MISTAKE, INTERRUPTED = 0, 1, 2, 130  # exit codes
_FORKS = multiprocessing.get_context("forkserver")
_BOOKS = threading.Lock()  # a start asks how all others ended, and an exit code can be read only once: it would be 255
_BROKEN = re.compile(r"Traceback \(most recent call last\)|Fatal Python error|Exception ignored in")


def prepare() -> None:
    """Have the first process fork from one that has imported everything; call it before any is started."""
    here = Path(__file__).resolve().parents[1]
    paths = [str(here), str(here.parent / "src"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # A process that is killed in the middle leaves semaphores, which the tracker of all of them removes at the end.
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning:multiprocessing.resource_tracker"
    _FORKS.set_forkserver_preload(["faulting.everything", "faulting.campaign"])


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: its exit code; minus the number of the signal that ended it; None where it had to be ended.
        seconds: from the beginning of its work.
        err: what it wrote to stderr.
    """

    code: int | None
    seconds: float
    err: str

    @property
    def error(self) -> str:
        """The line that says why it refused."""
        return next((line for line in self.err.splitlines() if line.startswith("error: ")), "")

    def trouble(self, sent: signal.Signals | None = None) -> str | None:
        """What a person may never see: a traceback, a crash, or an end without a word.

        Args:
            sent: the signal that it was sent.
        """
        if self.code is None:
            return None
        if _BROKEN.search(self.err):
            return self.err[-3000:]
        if self.code in (DONE, INTERRUPTED) or (sent is not None and self.code in (-sent, 128 + sent)):
            return None
        if self.code in (FAULT, MISTAKE) and self.error:
            return None
        return f"exit code {self.code}, and it said: {self.err[-500:]!r}"


class Job:
    """A running `promptmlr WORDS…`; made when its work begins.

    Args:
        words: of the command line.
        folder: where it runs.
        log: where it writes what it says, without a suffix.
        spare_files: how many more files it may open at once.
    """

    def __init__(self, words: Sequence[str], folder: Path, log: Path, spare_files: int | None = None) -> None:
        here, there = _FORKS.Pipe(duplex=False)
        self._log = log
        for end in ("out", "err"):
            Path(f"{log}.{end}").unlink(missing_ok=True)
        self.process = _FORKS.Process(target=run, args=(tuple(words), folder, log, spare_files, there))
        with _BOOKS:
            self.process.start()
        there.close()
        if not here.poll(STARTING):
            raise SystemExit(f"no process could be started within {STARTING:.0f} s")
        here.recv_bytes()
        here.close()
        self._begin = time.monotonic()
        self._hung = False

    @property
    def running(self) -> bool:
        """Whether it has not ended yet; safe from any thread, as only `outcome` asks how."""
        return not wait([self.process.sentinel], 0)

    @property
    def said(self) -> str:
        """What it has written to stderr so far."""
        return Path(f"{self._log}.err").read_text(errors="replace")

    def send(self, number: signal.Signals) -> bool:
        """A signal to it and all that it started; False where it had ended by itself."""
        if not self.running:
            return False
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self.process.pid or 0, number)
            else:
                os.kill(self.process.pid or 0, number)
        return True

    def kill_worker(self) -> bool:
        """SIGKILL to a worker of the Ray that it started; False where there is none."""
        node = _children(self.process.pid or 0, "raylet")
        workers = [worker for one in node for worker in _children(one, "ray::.*Map")]
        if not self.running or not workers:
            return False
        with suppress(ProcessLookupError):
            os.kill(workers[0], signal.SIGKILL)
        return True

    def wait(self, seconds: float) -> bool:
        """Until it ends; False where it did not within so many seconds."""
        return bool(wait([self.process.sentinel], seconds))

    def outcome(self, limit: float) -> Outcome:
        """How it ended; after `limit` seconds it is ended."""
        hung = not self.wait(limit)
        seconds = time.monotonic() - self._begin
        if hung:
            self.send(signal.SIGUSR1)  # it says where it is
            self.wait(1)
            self.send(signal.SIGKILL)
        with _BOOKS:
            self.process.join()
            code = None if hung else self.process.exitcode
            self.process.close()
        return Outcome(code, seconds, self.said)


def _children(parent: int, command: str) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(parent), "-f", command], capture_output=True, text=True, check=False)
    return [int(number) for number in found.stdout.split()]
