"""Services that end with their test."""

from collections.abc import Callable, Iterator

import pytest

from promptmlr.web.limits import Limits
from web_support import Served, scene_png, serve


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
