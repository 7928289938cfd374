"""`promptmlr serve`: a page in the browser, and a small service."""

import re
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import Port

from promptmlr.cli.options import Cache, Tower, Unnamed
from promptmlr.cli.progress import Terminal
from promptmlr.errors import UserError, of_extra
from promptmlr.options import CacheOptions, DataOptions, TowerOptions

__all__ = ["serve"]


def serve(
    *runs: Annotated[Path, Parameter(name="RUN")],
    label: str | None = None,
    classes: str | None = None,
    queue: Path | None = None,
    journal: Path | None = None,
    random_share: float = 0.1,
    host: str = "127.0.0.1",
    port: Port = 8765,
    allow_host: Annotated[list[str] | None, Parameter(metavar="NAME")] = None,
    max_megabytes: float = 32,
    max_pixels: int = 50_000_000,
    max_images: int = 16,
    concurrency: int = 16,
    timeout: float = 60,
    tower: Tower = TowerOptions(),
    reading: Unnamed = DataOptions(),
    regions: Cache = CacheOptions(),
) -> None:
    """Start a page in the browser that labels images and asks for missing labels; answer other programs too.

    With --label a run may be left out: the proposals are then CLIP's own, and answers move them from the first page on.

    Args:
        runs: A run folder, or two to compare side by side.
        label: Data whose unknown labels the page asks about, in any format. Answers fill the cells of a CSV; of other
            formats they stay in --journal, and `promptmlr convert --answers` puts them in place.
        classes: Classes to ask about: names between commas, or a file with one a line. If --label is a folder of images
            that nobody has labelled, answers go to FOLDER/labels.csv.
        queue: Cells to ask about, in this order: a .csv that `promptmlr suggest` wrote. (default: all, the most
            informative first, ranked anew after every page)
        journal: File in which answers are saved first (.jsonl). (default: next to --label)
        random_share: Share of cells that are drawn at random, so that probabilities can be calibrated on the answers.
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
    from promptmlr.run import load_run

    _check_installed()
    from promptmlr.web.app import create_app
    from promptmlr.web.asking import Asked, open_labelling
    from promptmlr.web.limits import Limits
    from promptmlr.web.served import served_runs
    from promptmlr.web.server import Server, listen
    from promptmlr.web.service import Service
    from promptmlr.web.serving import run_service

    if len(runs) > 2:
        raise UserError(f"{len(runs)} runs; one can be served, or two side by side")
    if label is None:
        if not runs:
            raise UserError("nothing to serve; name a run, or data to label with --label")
        for option, value in {"--classes": classes, "--queue": queue, "--journal": journal}.items():
            if value is not None:
                raise UserError(f"{option} belongs to --label, and that is not given")
    for name in allow_host or ():
        _check_name(name)
    limits = Limits(max_megabytes, max_pixels, max_images, concurrency, timeout)
    loaded = [load_run(path) for path in runs]
    with ExitStack() as until_the_end:
        asked, learner = None, None
        if label is not None:
            wanted = Asked(label, classes, queue, journal, random_share, reading)
            asked, learner, run = until_the_end.enter_context(
                open_labelling(wanted, loaded[0] if loaded else None, tower, regions, Terminal())
            )
            loaded = loaded or [run]
        service = Service(served_runs(loaded), limits, asked)
        server = Server(create_app(service, host, allow_host or []), listen(host, port))
        run_service(service, server, tower, learner, Terminal())


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
