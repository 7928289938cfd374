"""Trained runs, and services that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promptmlr.run import Run, load_run
from promptmlr.web.limits import Limits
from web_support import Served, scene_png, serve, train_runs


@pytest.fixture(scope="session")
def run_folders(scenes_backbone, tmp_path_factory) -> list[Path]:
    """Two runs of the drawn world's classes."""
    return train_runs(tmp_path_factory.mktemp("runs"), scenes_backbone)


@pytest.fixture(scope="session")
def loaded(run_folders) -> list[Run]:
    return [load_run(path) for path in run_folders]


@pytest.fixture(scope="session")
def png() -> bytes:
    return scene_png()


@pytest.fixture
def serving(loaded) -> Iterator[Callable[..., Served]]:
    """Start services."""
    started: list[Served] = []

    def start(runs: int = 1, queue=None, hosts=(), host: str = "", ready: bool = True, **limits) -> Served:
        started.append(serve(loaded[:runs], queue, hosts, ready, Limits(**limits), host))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture(scope="module")
def shared(loaded) -> Iterator[Served]:
    """A service with two runs and small limits, for tests that leave nothing behind."""
    served = serve(loaded, None, ["Mine.lan"], True, Limits(max_images=4, max_pixels=10_000))
    yield served
    served.end()
