"""Independent tasks in several processes, with one torch thread each, up to a deadline."""

import math
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice, takewhile
from typing import Any, TypeVar

import torch

from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.reporting import Reporter

__all__ = ["Deadline", "OutOfTime", "completed_tasks"]

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")

_shared: Any = None  # of this worker process


class OutOfTime(UserError):
    """A deadline passed before all tasks were begun; a repeated call continues."""


class Deadline:
    """A time after which no more tasks are begun.

    Args:
        minutes: from now; None never comes.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self._end = math.inf if minutes is None else time.monotonic() + 60 * minutes

    def ahead(self) -> bool:
        """Whether it has not passed yet."""
        return time.monotonic() < self._end


def completed_tasks(
    work: Callable[[Shared, Task], Result],
    shared: Shared,
    tasks: Sequence[Task],
    jobs: int,
    deadline: Deadline | None = None,
    *,
    label: str = "tasks",
    reporter: Reporter | None = None,
) -> Iterator[tuple[Task, Result]]:
    """Each task with its result, in the order of completion.

    Args:
        work: a function of a module, called as work(world, task).
        shared: what all tasks share; copied once to every process.
        tasks: picklable, like their results.
        jobs: number of processes; 1 works in this one, with all its threads.
        deadline: after it no task is begun; tasks in progress are finished.
        label: name of the tasks for the progress display.
        reporter: receives the number of finished tasks.

    Raises:
        EnvironmentFault: a process died, for example for lack of memory.
        OutOfTime: not all tasks were begun before the deadline.
    """
    done, deadline = 0, deadline or Deadline()
    with (reporter or Reporter()).progress(label) as update:
        for done, ended in enumerate(_completed_tasks(work, shared, tasks, jobs, deadline), 1):
            yield ended
            update(done, len(tasks))
    if done < len(tasks):
        raise OutOfTime("--minutes are over; repeat the command to continue")


def _completed_tasks(
    work: Callable[[Shared, Task], Result], shared: Shared, tasks: Sequence[Task], jobs: int, deadline: Deadline
) -> Iterator[tuple[Task, Result]]:
    waiting = takewhile(lambda _: deadline.ahead(), tasks)
    if jobs == 1:
        for task in waiting:
            yield task, work(shared, task)
        return
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(shared,)
    )
    try:
        running = {pool.submit(_call, work, task): task for task in islice(waiting, jobs)}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
                running |= {pool.submit(_call, work, task): task for task in islice(waiting, 1)}
        pool.shutdown()
    except BrokenProcessPool as error:
        raise EnvironmentFault("a worker process died, perhaps for lack of memory; use fewer --jobs") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()


def _start_worker(shared: object) -> None:
    global _shared
    _shared = shared
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop


def _call(work: Callable[[Any, Task], Result], task: Task) -> Result:
    return work(_shared, task)
