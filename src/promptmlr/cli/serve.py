"""`promptmlr serve`: a page in the browser, and a small service."""

import re
from importlib import import_module
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import Port

from promptmlr.cli.options import Cache, Tower
from promptmlr.cli.progress import Terminal
from promptmlr.errors import UserError, of_extra
from promptmlr.options import CacheOptions, TowerOptions

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
    """Start a page in the browser that labels images and asks for missing labels; answer other programs too.

    Args:
        runs: A run folder, or two to compare side by side.
        label: CSV whose blank cells the page asks about and fills.
        images: Folder to which image paths in --label are relative. (default: the folder of the CSV)
        queue: Cells to ask about, in this order: a .csv that `promptmlr suggest` wrote. (default: ranked by the run)
        journal: File in which answers are saved first (.jsonl). (default: next to --label)
        host: Address to listen on. With any other than this machine's own, other computers can connect: see
            docs/how-to/serve.md first.
        port: Port to listen on; 0 means any free port.
        allow_host: Another host name under which the service may be used; may be repeated. (localhost and IP addresses
            are always allowed)
        max_megabytes: Largest request, in megabytes.
        max_pixels: Largest image, in pixels.
        max_images: Largest number of images in a request.
        concurrency: Largest number of requests with images at once, including those that wait; more get status 429.
        timeout: Seconds in which a request must arrive, and in which it must be answered.
    """
    from promptmlr.opening import open_cache
    from promptmlr.run import load_run

    _check_installed()
    from promptmlr.web.app import create_app
    from promptmlr.web.asking import label_queue, ranking_of
    from promptmlr.web.limits import Limits
    from promptmlr.web.served import served_runs
    from promptmlr.web.server import Server, listen
    from promptmlr.web.service import Service
    from promptmlr.web.serving import run_service

    if len(runs) > 2:
        raise UserError(f"{len(runs)} runs; one can be served, or two side by side")
    if label is None and (queue is not None or journal is not None):
        raise UserError("--queue and --journal belong to --label, and that is not given")
    for name in allow_host or ():
        _check_name(name)
    limits = Limits(max_megabytes, max_pixels, max_images, concurrency, timeout)
    loaded = [load_run(path) for path in runs]
    store = open_cache(regions)
    asked, ranking = None, None
    if label is not None:
        asked = label_queue(label, journal, images, Terminal())
        ranking = ranking_of(loaded[0], label, queue, images, store, tower.workers, Terminal())
    service = Service(served_runs(loaded), limits, asked)
    server = Server(create_app(service, host, allow_host or []), listen(host, port))
    run_service(service, server, tower, ranking, Terminal())


def _check_name(given: str) -> None:
    """Refuse what no browser sends as the name of a machine: a whole address, or a name with a port."""
    if re.fullmatch(r"[\w.-]+", given) is None:
        name = re.search(r"^(?:\w+://)?([\w.-]+)", given)
        raise UserError(
            f"--allow-host {given}: give the name alone, without port or path, as in "
            f"--allow-host {name[1] if name else 'photos.example.org'}"
        )


def _check_installed() -> None:
    with of_extra("web"):
        for package in ("fastapi", "prometheus_client", "python_multipart", "uvicorn"):
            import_module(package)
