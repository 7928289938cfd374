"""What tests of the service share: trained runs, drawn images as files, and services in a thread."""

import io
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from promptmlr.backbone import Backbone
from promptmlr.data import DataOptions, load_data
from promptmlr.pipeline import TrainingJob, train_run
from promptmlr.recipes import load_recipe
from promptmlr.run import Run
from promptmlr.scenes import draw_scene
from promptmlr.web.app import create_app
from promptmlr.web.labelling import LabelQueue
from promptmlr.web.limits import Limits
from promptmlr.web.served import load_backbones, served_runs
from promptmlr.web.server import Server, listen
from promptmlr.web.service import Service


def train_runs(folder: Path, backbone: Backbone) -> list[Path]:
    """Two runs of the drawn world's classes, FOLDER/first and FOLDER/second."""
    data = load_data("scenes", purpose="train", options=DataOptions(scenes_train=60, scenes_test=10))
    keep = np.ones(data.labels.shape, dtype=np.bool_)
    found = []
    for name, method in (("first", "dualembedding"), ("second", "baseline")):
        job = TrainingJob(method, load_recipe("default", method, epochs=2), data, keep)
        found.append(train_run(job, backbone, folder / name, workers=0))
    return found


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
