"""`promptmlr serve`: a page in the browser, and a small service."""

import contextlib
from importlib import import_module
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import Port

from promptmlr.cli.options import Cache, Tower
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import UserError, of_extra
from promptmlr.options import CacheOptions, DataOptions, TowerOptions

__all__ = ["serve"]


def serve(
    *runs: Annotated[Path, Parameter(name="RUN", required=True)],
    label: Path | None = None,
    images: Path | None = None,
    queue: Path | None = None,
    journal: Path | None = None,
    host: str = "127.0.0.1",
    port: Port = 8765,
    allow_host: Annotated[list[str] | None, Parameter(metavar="NAME")] = None,
    max_megabytes: float = 32,
    max_pixels: int = 50_000_000,
    max_images: int = 16,
    concurrency: int = 16,
    timeout: float = 60,
    tower: Tower = TowerOptions(),
    regions: Cache = CacheOptions(),
) -> None:
    """Open a page that recognizes images and asks for labels, and answer /predict for other programs.

    Args:
        runs: A run folder, or two to compare side by side.
        label: Ask about blank cells of this CSV, and fill them.
        images: Folder that image paths of --label start from. (default: that of the file)
        queue: What `promptmlr suggest` wrote (.csv): cells in rank order. (default: what it would write)
        journal: Where answers are kept first (.jsonl). (default: beside --label)
        host: Address to listen on. Anything but this machine's own lets others in: see the docs.
        port: Port to listen on; 0 takes any free one.
        allow_host: Another name of this machine by which it may be asked; may be repeated. (localhost and IP addresses
            always may)
        max_megabytes: Largest request, in megabytes.
        max_pixels: Largest image, in pixels.
        max_images: Most images of a request.
        concurrency: Requests with images at once, waiting ones included; one more gets status 429.
        timeout: Seconds for a request to arrive, and for its answer to be ready.
    """
    from promptmlr.opening import open_cache
    from promptmlr.reporting import counted
    from promptmlr.run import load_run

    _check_installed()
    from promptmlr.web.app import create_app
    from promptmlr.web.asking import label_queue, ranking_of
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
    store = open_cache(regions)
    asked, ranking = None, None
    if label is not None:
        said = loaded[0].config.data.reading
        reading = DataOptions().or_else(said if said.get("format") == "csv" else {})
        asked = label_queue(label, journal, images, Terminal(), reading)
        ranking = ranking_of(loaded[0], label, queue, images, store, tower.workers, Terminal(), reading)
    service = Service(served_runs(loaded), limits, asked)
    server = Server(create_app(service, host, allow_host or []), listen(host, port))
    _say_where(server.address)

    def prepare() -> None:
        load_backbones(service.runs, tower.backbone, tower.pretrained, tower.device)
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
    with of_extra("web"):
        for package in ("fastapi", "prometheus_client", "python_multipart", "uvicorn"):
            import_module(package)


def _say_where(address: tuple[str, int]) -> None:
    """The address to open; and a warning where others can open it as well."""
    import ipaddress

    host, port = address
    ip = ipaddress.ip_address(host.partition("%")[0])
    if not ip.is_loopback:
        note("warning: whoever reaches this machine can use the page and fill labels: there is no password")
    shown = "localhost" if ip.is_unspecified else f"[{host}]" if ip.version == 6 else host
    note(f"http://{shown}:{port}/ (Ctrl-C ends it)")
