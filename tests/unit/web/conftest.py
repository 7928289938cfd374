"""Services that end with their test."""

from collections.abc import Iterator

import pytest

from promptmlr.web.limits import Limits
from web_support import Served, scene_png, serve
from web_support import serving as serving


@pytest.fixture(scope="session")
def png() -> bytes:
    return scene_png()


@pytest.fixture(scope="module")
def shared(loaded) -> Iterator[Served]:
    """A service with two runs and small limits, for tests that leave nothing behind."""
    served = serve(loaded, None, ["Mine.lan"], True, Limits(max_images=4, max_pixels=10_000))
    yield served
    served.end()
