"""A service from its address to its end: answers while its backbones are loaded, then while questions are ranked."""

import contextlib
import ipaddress

from promptmlr.errors import UserError
from promptmlr.options import TowerOptions
from promptmlr.reporting import Reporter, counted
from promptmlr.web.learning import Learner
from promptmlr.web.served import load_backbones
from promptmlr.web.server import Server
from promptmlr.web.service import Service

__all__ = ["run_service"]


def run_service(
    service: Service, server: Server, tower: TowerOptions, learner: Learner | None, reporter: Reporter
) -> None:
    """Serve until Ctrl-C.

    Args:
        service: what answers.
        server: where it listens already.
        tower: where the runs find their backbones.
        learner: ranks what the service's queue asks, once the backbones are there.
        reporter: told the address, and when all is ready.

    Raises:
        UserError: a backbone is not that of its run.
    """

    def prepare() -> None:
        load_backbones(service.runs, tower.backbone, tower.pretrained, tower.device)
        service.ready = True
        reporter.note("ready")
        if learner is not None:
            _rank(service, learner, reporter)

    _say_where(server.address, reporter)
    service.worker.start()
    try:
        with contextlib.suppress(KeyboardInterrupt), learner or contextlib.nullcontext():  # the usual end
            server.run(prepare)
    finally:
        service.worker.stop()
    ending = None if service.queue is None else service.queue.keeper.ending()
    if ending is not None:
        reporter.note(ending)
    reporter.note("stopped")


def _rank(service: Service, learner: Learner, reporter: Reporter) -> None:
    """Give the queue its first ranking; the page is of use without it."""
    assert service.queue is not None
    try:
        learner.rank()
    except UserError as error:
        reporter.note(f"no suggestions: {error}")
        service.queue.fail("there are no suggestions; the terminal says why")
    else:
        reporter.note(f"the queue asks about {counted(service.queue.left(), 'cell')}")


def _say_where(address: tuple[str, int], reporter: Reporter) -> None:
    """The address to open; and a warning where others can open it as well."""
    host, port = address
    ip = ipaddress.ip_address(host.partition("%")[0])
    if not ip.is_loopback:
        reporter.note("warning: whoever reaches this machine can use the page and fill labels: there is no password")
    shown = "localhost" if ip.is_unspecified else f"[{host}]" if ip.version == 6 else host
    reporter.note(f"http://{shown}:{port}/ (Ctrl-C ends it)")
