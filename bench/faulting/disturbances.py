"""What is done to a command while it works: each is a function of a case, and a row of `DISTURBANCES`."""

import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from faulting.verdict import Case

__all__ = ["DISTURBANCES"]

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOST_KILLS = 3  # of one work, one after another
WORKERS_SHARE = 0.7  # of kills on Ray: there are none before half of the time
MOST_FILES = 3  # that a command may open at once, where it runs out of them
ROOM = 1 << 30  # bytes; enough for everything
BLOCK = 4096  # bytes; the least size of a small disk, as none at all would be no bound


def kill(case: Case) -> None:
    """End the work, or one of its workers, at random times, go on each time, and let it come to its end."""
    for _ in range(case.chance.randint(1, MOST_KILLS)):
        words = case.target.command(case.folder)
        if words is None:
            break
        number, moment = case.chance.choice(SIGNALS), case.chance.uniform(0, case.reference.seconds)
        worker = case.target.on_ray and case.chance.random() < WORKERS_SHARE
        job, hits = case.start(words), []
        strike = job.kill_worker if worker else partial(job.send, number)
        timer = threading.Timer(moment, lambda strike=strike, hits=hits: hits.append(strike()))
        timer.start()
        case.attended(job) if case.target.beside else job.wait(case.limit)
        timer.cancel()
        timer.join()
        hit = any(hits)
        case.ended(job, number if hit and not worker else None)
        case.hits += hit
        case.check_between()
        if case.findings:
            return
    case.check_end(case.work(), temporary=False)


def fill_disk(case: Case) -> None:
    """Work on a disk with less room than is needed, then make room and go on."""
    with _disk(case.folder, case) as resize:
        needed = _used(case.folder) + case.reference.written
        resize(max(BLOCK, round(case.chance.uniform(_used(case.folder), needed) // BLOCK * BLOCK)))
        outcome = case.work()
        case.hits += outcome.code != 0
        case.check_between()
        resize(ROOM)
        if not case.findings:
            case.check_end(case.work(), temporary=True)


def take_files(case: Case) -> None:
    """Work with hardly any file that can be opened, then go on with as many as usual."""
    outcome = case.work(spare_files=case.chance.randint(0, MOST_FILES))
    case.hits += outcome.code != 0
    case.check_between()
    if not case.findings:
        case.check_end(case.work(), temporary=True)


def two_at_once(case: Case) -> None:
    """The same command twice at the same time, the second begins at a random moment."""
    words = case.target.command(case.folder)
    assert words is not None
    first = case.start(words)
    others = replace(case.answers, taken=set(), who="somebody-2")
    beside = threading.Thread(target=case.attended, args=(first,))
    beside.start()
    first.wait(case.chance.uniform(0, case.reference.seconds))
    second_words = case.target.command(case.folder)
    if second_words is not None:
        case.hits += first.running
        second = case.start(second_words, "second")
        case.attended(second, others)
        case.ended(second)
    beside.join()
    case.ended(first)
    case.answers.taken |= others.taken
    case.check_between()
    if not case.findings:
        case.check_end(case.work(), temporary=True)


@contextmanager
def _disk(folder: Path, case: Case):
    """A small disk in the place of a folder, with what was in it; gives what changes its size."""
    _mount("-t", "tmpfs", "-o", f"size={ROOM}", "promptmlr-faults", str(folder))
    try:
        case.bench.world.copy(case.target.needs, folder)
        yield lambda size: _mount("-o", f"remount,size={size}", str(folder))
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


def _used(folder: Path) -> int:
    return shutil.disk_usage(folder).used


DISTURBANCES: dict[str, Callable[[Case], None]] = {
    "kill": kill,
    "kill on Ray": kill,
    "full disk": fill_disk,
    "no files": take_files,
    "two at once": two_at_once,
}
"""Name → what is done."""
