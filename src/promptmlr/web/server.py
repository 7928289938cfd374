"""A socket, uvicorn, and the end of both.

uvicorn (0.54) waits for as long as a client likes for the head of a request, and closes a connection under a client
that is still sending, which then never reads why. Both are mended here. Its own `limit_concurrency` answers requests
and lets connections be that send none; `timeout_keep_alive` ends with the first byte of the next head.
"""

import asyncio
import contextlib
import errno
import json
import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from promptmlr.errors import EnvironmentFault, UserError

__all__ = ["Server", "listen"]

HEAD_SECONDS = 10.0  # for the head of a request
LINGER_SECONDS = 2.0  # in which a client may go on sending after its answer
LINGER_BYTES = 64 << 20  # and how much
IDLE_SECONDS = 5  # between two requests of a connection
GRACE_SECONDS = 3  # for requests at the end
MOST_CONNECTIONS = 400
LEAST_FILES = 16


class _LingeringTransport:
    """A transport that, when closed, says so and listens on for a moment, so that its last answer is read."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self.lingers = False
        self._dropped = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self.lingers or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        self.lingers = True
        try:
            self._transport.resume_reading()
            self._transport.write_eof()
        except (OSError, RuntimeError):
            self._transport.abort()
            return
        self._loop.call_later(LINGER_SECONDS, self._transport.abort)

    def drop(self, data: bytes) -> None:
        """What still comes."""
        self._dropped += len(data)
        if self._dropped > LINGER_BYTES:
            self._transport.abort()


class _Protocol(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._lingering = _LingeringTransport(transport, self.loop)
        super().connection_made(self._lingering)  # type: ignore[arg-type]
        self._head: asyncio.TimerHandle | None = None
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        if self._lingering.lingers:
            self._lingering.drop(data)
            return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self._lingering.lingers:
            self._wait_for_head()
        elif self._head is not None:
            self._head.cancel()
            self._head = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head is not None:
            self._head.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        body = json.dumps({"error": msg}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _wait_for_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self._lingering.abort)


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound, so that nobody else can take the port any more.

    Raises:
        UserError: no such host, or the port is taken or not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError, OverflowError) as error:
        raise UserError(f"--host {host}: no such address; use 127.0.0.1 for this machine alone") from error
    try:
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # `::` is every address, those of IPv4 too
        return socket.create_server(address, family=family, backlog=128, dualstack_ipv6=both)
    except OSError as error:
        advice = {
            errno.EADDRINUSE: "it is in use; end what uses it, or choose another with --port",
            errno.EACCES: "not allowed; choose one above 1023 with --port",
            errno.EADDRNOTAVAIL: "this machine does not have that address; use 127.0.0.1 or 0.0.0.0",
        }.get(error.errno or 0, error.strerror or str(error))
        raise UserError(f"port {port} of {host}: {advice}") from error


def _require_files() -> None:
    """Find out beforehand whether a loop and some connections can be opened: asyncio ends in the middle of it."""
    with contextlib.ExitStack() as opened:
        try:
            for _ in range(LEAST_FILES):
                opened.enter_context(open(os.devnull))  # noqa: PTH123
        except OSError as error:
            raise EnvironmentFault(f"cannot serve: {error.strerror}; allow more with ulimit -n") from error


class _FirstLine(logging.Formatter):
    """Of what asyncio says where it cannot accept connections (no file left), which comes with a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage().partition("\n")[0]


class Server:
    """A running service.

    Args:
        app: what answers.
        bound: a socket that listens.
    """

    def __init__(self, app: ASGIApp, bound: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self._server = uvicorn.Server(config)
        told = logging.StreamHandler()
        told.setFormatter(_FirstLine())
        logging.getLogger("asyncio").handlers = [told]
        self._socket = bound
        self._failure: BaseException | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    def run(self, prepare: Callable[[], None] | None = None) -> None:
        """Serve until Ctrl-C, SIGTERM or `stop`.

        Args:
            prepare: done in a thread beside it; when it fails, serving ends.

        Raises:
            KeyboardInterrupt: Ctrl-C, after everything has ended.
            UserError: of `prepare`, as any other error of it.
        """

        def work() -> None:
            assert prepare is not None
            try:
                prepare()
            except BaseException as error:
                self._failure = error
                self.stop()

        try:
            _require_files()
            if prepare is not None:
                threading.Thread(target=work, name="prepare", daemon=True).start()
            self._server.run(sockets=[self._socket])
        except OSError as error:
            raise EnvironmentFault(f"cannot serve: {error.strerror or error}") from error
        finally:
            self._socket.close()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End soon; safe from any thread."""
        self._server.should_exit = True

    @property
    def started(self) -> bool:
        """Whether requests are answered."""
        return self._server.started
