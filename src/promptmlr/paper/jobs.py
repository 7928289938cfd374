"""Independent pieces of work over several processes, one thread of torch each, up to a deadline."""

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

__all__ = ["Deadline", "OutOfTime", "finished"]

World = TypeVar("World")
Task = TypeVar("Task")
Result = TypeVar("Result")

_world: Any = None  # of this worker process


class OutOfTime(UserError):
    """A deadline passed before all tasks were begun; a repeated call goes on."""


class Deadline:
    """A time after which no more tasks are begun.

    Args:
        minutes: from now; None never comes.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self._end = math.inf if minutes is None else time.monotonic() + 60 * minutes

    def ahead(self) -> bool:
        """Whether it is still to come."""
        return time.monotonic() < self._end


def finished(
    work: Callable[[World, Task], Result],
    world: World,
    tasks: Sequence[Task],
    jobs: int,
    deadline: Deadline | None = None,
    *,
    label: str = "tasks",
    reporter: Reporter | None = None,
) -> Iterator[tuple[Task, Result]]:
    """Each task with its result, in the order in which they end. It counts as done once the next is asked for.

    Args:
        work: a function of a module, called as work(world, task).
        world: what all tasks share; copied once to every process.
        tasks: can be pickled, as can the results.
        jobs: processes; 1 works in this one, with all its threads.
        deadline: tasks that are under way then are finished.
        label: what the tasks are called.
        reporter: where to say how many are finished.

    Raises:
        EnvironmentFault: a process died, as when memory runs out.
        OutOfTime: tasks are left that were not begun before the deadline.
    """
    done, deadline = 0, deadline or Deadline()
    with (reporter or Reporter()).progress(label) as say:
        for done, ended in enumerate(_finished(work, world, tasks, jobs, deadline), 1):
            yield ended
            say(done, len(tasks))
    if done < len(tasks):
        raise OutOfTime("the --minutes of this stretch are over; repeat the command to go on")


def _finished(
    work: Callable[[World, Task], Result], world: World, tasks: Sequence[Task], jobs: int, deadline: Deadline
) -> Iterator[tuple[Task, Result]]:
    waiting = takewhile(lambda _: deadline.ahead(), tasks)
    if jobs == 1:
        for task in waiting:
            yield task, work(world, task)
        return
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_settle_in, initargs=(world,))
    try:
        running = {pool.submit(_call, work, task): task for task in islice(waiting, jobs)}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
                running |= {pool.submit(_call, work, task): task for task in islice(waiting, 1)}
        pool.shutdown()
    except BrokenProcessPool as error:
        raise EnvironmentFault("a worker process died, perhaps for want of memory; ask for fewer --jobs") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()


def _settle_in(world: object) -> None:
    global _world
    _world = world
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop


def _call(work: Callable[[Any, Task], Result], task: Task) -> Result:
    return work(_world, task)
