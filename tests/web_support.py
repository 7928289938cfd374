"""What tests of the service share: drawn images as files, services in a thread, and people who label."""

import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from PIL import Image

from promptmlr.data import DataOptions, LabelledImages, load_data
from promptmlr.reporting import Reporter
from promptmlr.run import Run
from promptmlr.scenes import draw_scene
from promptmlr.web.app import create_app
from promptmlr.web.in_table import InTable
from promptmlr.web.journal import Journal
from promptmlr.web.label_file import LabelFile
from promptmlr.web.labelling import LabelQueue, Outcome, Standing
from promptmlr.web.limits import Limits
from promptmlr.web.pages import Answer, Mode, Page
from promptmlr.web.proposals import listed_proposals
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


def labelled_of(table: Path) -> LabelledImages:
    """The rows of a CSV that may be asked about, whether or not their images are there."""
    return load_data(str(table), options=DataOptions(format="csv", skip_unreadable=True))


def queue_of(
    table: Path,
    listed: Sequence[tuple[str, str, float | None]] | None = None,
    *,
    journal: Path | None = None,
    reporter: Reporter | None = None,
    random_share: float = 0.0,
    **options,
) -> LabelQueue:
    """A queue that writes into a CSV.

    Args:
        table: the CSV.
        listed: image, class and probability of the cells to ask about, in order; None asks about all, at one half.
        journal: by default beside the table.
        reporter: of the queue and its file.
        random_share: of cells.
        options: of `LabelQueue`.
    """
    labelled = labelled_of(table)
    keeper = InTable(LabelFile(table), Journal(journal or table.with_name(f"{table.name}.answers.jsonl")), reporter)
    queue = LabelQueue(labelled, keeper, random_share=random_share, reporter=reporter, **options)
    if listed is None:
        listed = [(image, name, 0.5) for image in labelled.image_ids for name in labelled.class_names]
    places = {
        (labelled.image_ids.index(image), labelled.class_names.index(name)): share for image, name, share in listed
    }
    queue.propose(listed_proposals(labelled.labels.shape, places))
    return queue


class Asker:
    """Somebody who labels.

    Args:
        queue: asks.
        who: a name.
        mode: of asking.
    """

    def __init__(self, queue: LabelQueue, who: str = "somebody", mode: Mode = "single") -> None:
        self.queue, self.who, self.mode = queue, who, mode

    def standing(self) -> Standing:
        return self.queue.visit(self.who, self.mode)

    def pages(self) -> tuple[Page, ...]:
        return self.standing().pages

    def asked(self) -> list[tuple[str, str]]:
        """Image and class of each cell of the page."""
        labelled, pages = self.queue.labelled, self.pages()
        return [(labelled.image_ids[c.row], labelled.class_names[c.column]) for c in pages[0].cells] if pages else []

    def answer(self, *answers: Answer, page: Page | None = None) -> Outcome:
        """A page, by default the one to answer now; one answer stands for all of its cells."""
        page = page or self.pages()[0]
        given = answers if len(answers) == len(page.cells) else answers * len(page.cells)
        return self.queue.answer(self.who, page.id, given)[0]

    def undo(self) -> Outcome:
        return self.queue.undo(self.who)[0]

    def write_again(self) -> Outcome:
        return self.queue.write_again(self.who)[0]
