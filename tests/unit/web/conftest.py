"""Trained runs, and services that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from promptmlr.data import DataOptions, load_data
from promptmlr.pipeline import TrainingJob, train_run
from promptmlr.recipes import load_recipe
from promptmlr.run import Run, load_run
from promptmlr.web.limits import Limits
from web_support import Served, scene_png, serve


@pytest.fixture(scope="session")
def run_folders(scenes_backbone, tmp_path_factory) -> list[Path]:
    """Two runs of the drawn world's classes."""
    folder = tmp_path_factory.mktemp("runs")
    data = load_data("scenes", purpose="train", options=DataOptions(scenes_train=60, scenes_test=10))
    keep = np.ones(data.labels.shape, dtype=np.bool_)
    found = []
    for name, method in (("first", "dualembedding"), ("second", "baseline")):
        job = TrainingJob(method, load_recipe("default", method, epochs=2), data, keep)
        found.append(train_run(job, scenes_backbone, folder / name, workers=0))
    return found


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

    def start(runs: int = 1, queue=None, hosts=(), ready: bool = True, **limits) -> Served:
        started.append(serve(loaded[:runs], queue, hosts, ready, Limits(**limits)))
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
