"""`promptmlr serve`: a page in the browser, and a small service."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from promptmlr.cli.options import (
    BackboneName,
    CacheFolder,
    CacheKey,
    Device,
    ImageFolder,
    NoCache,
    Pretrained,
    StorageFormat,
    Workers,
    region_cache,
)
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptmlr.data.images import ImageRef
    from promptmlr.features import RegionCache
    from promptmlr.run import Run
    from promptmlr.web.labelling import LabelQueue
    from promptmlr.web.suggestions import Cell, Ranking

__all__ = ["serve"]


def serve(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN [OTHER]", help="A run folder, or two to compare side by side.")
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on. Anything but this machine's own lets others in: see the docs.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8765,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Another name of this machine by which it may be asked; may be repeated. (localhost and IP addresses "
            "always may)",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        Path | None,
        typer.Option(
            metavar="LABELS.csv", help="Ask about blank cells of this file, and fill them.", show_default=False
        ),
    ] = None,
    queue: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="What `promptmlr suggest` wrote: cells in rank order. (default: what it would write)",
            show_default=False,
        ),
    ] = None,
    images: ImageFolder = None,
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl", help="Where answers are kept first. (default: beside --label)", show_default=False
        ),
    ] = None,
    max_megabytes: Annotated[float, typer.Option(help="Of a request.")] = 32,
    max_pixels: Annotated[int, typer.Option(help="Of an image.")] = 50_000_000,
    max_images: Annotated[int, typer.Option(help="Of a request.")] = 16,
    concurrency: Annotated[
        int, typer.Option(help="Requests with images at once, waiting ones included; one more gets status 429.")
    ] = 16,
    timeout: Annotated[
        float, typer.Option(help="Seconds for a request to arrive, and for its answer to be ready.")
    ] = 60,
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
    device: Device = "cpu",
    workers: Workers = 2,
    cache: CacheFolder = None,
    no_cache: NoCache = False,
    storage: StorageFormat = "float16",
    cache_key: CacheKey = "file",
) -> None:
    """Open a page that recognizes images and asks for labels, and answer /predict for other programs."""
    from promptmlr.reporting import counted
    from promptmlr.run import load_run

    _check_installed()
    from promptmlr.web.app import create_app
    from promptmlr.web.limits import Limits
    from promptmlr.web.served import load_backbones, served_runs
    from promptmlr.web.server import Server, listen
    from promptmlr.web.service import Service

    if len(runs) > 2:
        raise UserError(f"{len(runs)} runs; one can be served, or two side by side")
    if label is None and (queue is not None or journal is not None):
        raise UserError("--queue and --journal belong to --label, and that is not given")
    limits = Limits(max_megabytes, max_pixels, max_images, concurrency, timeout)
    loaded = [load_run(path) for path in runs]
    store = region_cache(cache, no_cache, storage, cache_key)
    asked, ranking = None, None
    if label is not None:
        asked = _queue(label, journal, images)
        ranking = _ranking(loaded[0], label, queue, images, store, workers)
    service = Service(served_runs(loaded), limits, asked)
    server = Server(create_app(service, [host, *(allow_host or [])]), listen(host, port))
    _say_where(server.address)

    def prepare() -> None:
        load_backbones(service.runs, backbone, pretrained, device)
        service.ready = True
        note("ready")
        if asked is not None and ranking is not None:
            try:
                asked.offer(ranking())
            except UserError as error:  # the page is of use without it
                note(f"no suggestions: {error}")
                asked.fail("there are no suggestions; the terminal says why")
            else:
                note(f"the queue asks about {counted(asked.standing().total, 'cell')}")

    service.worker.start()
    try:
        with contextlib.suppress(KeyboardInterrupt):  # the usual end
            server.run(prepare)
    finally:
        service.worker.stop()
    note("stopped")


def _check_installed() -> None:
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(f"serve needs {error.name}: pip install 'promptmlr[web]'") from error


def _say_where(address: tuple[str, int]) -> None:
    """The address to open; and a warning where others can open it as well."""
    import ipaddress

    host, port = address
    ip = ipaddress.ip_address(host.partition("%")[0])
    if not ip.is_loopback:
        note("warning: whoever reaches this machine can use the page and fill labels: there is no password")
    shown = "localhost" if ip.is_unspecified else f"[{host}]" if ip.version == 6 else host
    note(f"http://{shown}:{port}/ (Ctrl-C ends it)")


def _queue(label: Path, journal: Path | None, images: Path | None) -> "LabelQueue":
    """The labelling queue of a CSV, without suggestions yet."""
    from promptmlr.web.journal import Journal
    from promptmlr.web.label_file import LabelFile
    from promptmlr.web.labelling import LabelQueue

    file = LabelFile(label)
    file.read()
    beside = journal or file.path.with_name(f"{file.name}.answers.jsonl")
    queue = LabelQueue(file, Journal(beside), images, Terminal())
    waiting = queue.standing().waiting
    if waiting:
        note(f"{beside} holds {waiting} answers that {label} has not got; they are written with the next one")
    return queue


def _ranking(
    run: "Run", label: Path, queue: Path | None, images: Path | None, cache: "RegionCache | None", workers: int
) -> "Ranking":
    """What gives the suggestions, from a file or by the run; mistakes in either are found now."""
    from promptmlr.data import ImageFile
    from promptmlr.web.suggestions import ranked_by, read_suggestions, training_rows

    if queue is not None:
        suggestions = read_suggestions(queue)
        _check_images(label, [ImageFile((images or label.parent) / one.image_id) for one in suggestions])

        def from_file() -> "list[Cell]":
            return suggestions

        return from_file
    labelled = training_rows(label, images)
    if not set(labelled.class_names) & set(run.class_names):
        raise UserError(f"{label} has none of the run's classes, such as {run.class_names[0]!r}")
    _check_images(label, labelled.images)

    def by_run() -> "list[Cell]":
        return ranked_by(run, labelled, cache, workers, Terminal())

    return by_run


def _check_images(label: Path, images: "Sequence[ImageRef]") -> None:
    """Refuse to ask about images none of which is there; say how many are not."""
    from promptmlr.data import ImageFile

    missing = [image for image in images if isinstance(image, ImageFile) and not image.exists()]
    if missing and len(missing) == len(images):
        raise UserError(
            f"{label}: none of the {len(images):,} images to ask about is there, such as {missing[0].name}; name their "
            "folder with --images"
        )
    if missing:
        note(f"{len(missing):,} of {len(images):,} images to ask about are missing, such as {missing[0].name}")
