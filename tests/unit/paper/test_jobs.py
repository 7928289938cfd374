"""Work over several processes. Each of them imports this file to find its task: nothing heavy is imported here."""

import os

import pytest

from promptmlr.errors import EnvironmentFault
from promptmlr.paper.jobs import completed_tasks


def add(world: int, task: int) -> int:
    if task < 0:
        raise ValueError(f"task {task}")
    return world + task


def die(_world: int, _task: int) -> None:
    os._exit(9)


def test_a_process_that_dies_is_said() -> None:
    with pytest.raises(EnvironmentFault, match="fewer --jobs"):
        list(completed_tasks(die, 0, [1, 2], 2))


@pytest.mark.parametrize("jobs", [1, 2])
def test_jobs_bring_every_task_its_result(jobs: int) -> None:
    assert dict(completed_tasks(add, 10, [1, 2, 3], jobs)) == {1: 11, 2: 12, 3: 13}
    with pytest.raises(ValueError, match="task -1"):
        list(completed_tasks(add, 10, [1, -1, 3], jobs))
