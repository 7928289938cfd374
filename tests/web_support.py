"""What tests of the service share: drawn images as files, and services in a thread."""

import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import httpx
import pytest
from PIL import Image

from promptmlr.run import Run
from promptmlr.scenes import draw_scene
from promptmlr.web.app import create_app
from promptmlr.web.labelling import LabelQueue
from promptmlr.web.limits import Limits
from promptmlr.web.served import load_backbones, served_runs
from promptmlr.web.server import Server, listen
from promptmlr.web.service import Service


def scene_png(number: int = 0, size: int = 96) -> bytes:
    """A drawn scene as a file."""
    buffer = io.BytesIO()
    Image.fromarray(draw_scene(7, number).image).resize((size, size)).save(buffer, "PNG")
    return buffer.getvalue()


def files(*contents: bytes, names: Sequence[str] = ()) -> list[tuple[str, tuple[str, bytes]]]:
    """A form of images."""
    given = names or [f"{number}.png" for number in range(len(contents))]
    return [("images", (name, content)) for name, content in zip(given, contents, strict=True)]


@dataclass
class Served:
    """A service in a thread, and a client of it."""

    service: Service
    client: httpx.Client
    server: Server
    thread: threading.Thread

    @property
    def address(self) -> tuple[str, int]:
        return self.server.address

    def end(self) -> None:
        self.client.close()
        self.server.stop()
        self.thread.join()
        self.service.worker.stop()


def serve(
    runs: Sequence[Run], queue: LabelQueue | None, hosts: Iterable[str], ready: bool, limits: Limits, host: str = ""
) -> Served:
    """Start a service."""
    service = Service(served_runs(runs), limits, queue)
    server = Server(create_app(service, host, hosts), listen("127.0.0.1", 0))
    load_backbones(service.runs)
    service.ready = ready
    service.worker.start()
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    client = httpx.Client(base_url=f"http://127.0.0.1:{server.address[1]}", timeout=20)
    return Served(service, client, server, thread)


@pytest.fixture
def serving(loaded) -> Iterator[Callable[..., Served]]:
    """Start services of the runs in `loaded`; they end with the test."""
    started: list[Served] = []

    def start(runs: int = 1, queue=None, hosts=(), host: str = "", ready: bool = True, **limits) -> Served:
        started.append(serve(loaded[:runs], queue, hosts, ready, Limits(**limits), host))
        return started[-1]

    yield start
    for one in started:
        one.end()
