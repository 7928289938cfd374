"""What every request passes first: who may ask, how much may come, how long it may take; and how refusals look.

There is no authentication. What a web page that the user happens to visit could do is ruled out all the same: it can
neither read anything (no CORS headers, no answer to a Host that is a name of its choice, which is DNS rebinding) nor
change anything (Origin must be this service, or a name that it goes by behind a proxy).
"""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Container, Iterable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from promptmlr.web.limits import Limits
from promptmlr.web.metrics import GONE, Metrics, outcome_of

__all__ = ["Guard", "refusal"]

SMALL_BODY = 64 << 10  # bytes, of a request without images
SLACK = 5.0  # seconds that sending an answer may take beyond the timeout

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_LOG = logging.getLogger(__name__)


# Starlette's own middleware is not enough: TrustedHostMiddleware knows no IP addresses, RequestBodyLimitMiddleware no
# time and no path, both refuse in plain text, and nothing there reads Origin.
class Guard:
    """The outermost layer.

    Args:
        app: everything else.
        limits: of a request.
        host: where the service listens; if that is a name, the service may be asked under it, by its own page alone.
        hosts: more names under which it may be asked besides localhost and IP addresses, by pages on any port of them.
        metrics: where requests are counted.
        endpoints: path → its name in the metrics; others share one.
        uploads: paths whose bodies may be as large as `limits` says.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        host: str,
        hosts: Iterable[str],
        metrics: Metrics,
        endpoints: Mapping[str, str],
        uploads: Container[str],
    ) -> None:
        self.app = app
        self.limits = limits
        self.pages = {name for name in map(str.lower, hosts) if name and not _is_of_any_machine(name)}
        self.names = self.pages | ({host.lower()} - {""})
        self.metrics = metrics
        self.endpoints = endpoints
        self.uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status, started = time.monotonic(), GONE, False

        async def answer(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        async def refuse(status: int, why: str, headers: Mapping[str, str] | None = None) -> None:
            if not started:  # uvicorn closes the connection of an answer that is cut short
                await refusal(status, why, {**(headers or {}), "Connection": "close"})(scope, receive, answer)

        try:
            async with asyncio.timeout(2 * self.limits.timeout + SLACK):
                self._check_sender(scope)
                await self.app(scope, self._limited(scope, receive), answer)
        except HTTPException as error:
            await refuse(error.status_code, error.detail, error.headers)
        except TimeoutError:
            await refuse(503, "it took too long; try again", {"Retry-After": "5"})
        except Exception:
            _LOG.exception("a request failed")
            await refuse(500, "an error of the server; its log says more")
        finally:
            endpoint = self.endpoints.get(scope["path"], "other")
            self.metrics.requests.labels(endpoint, outcome_of(status)).inc()
            self.metrics.seconds.labels(endpoint).observe(time.monotonic() - begin)

    def _check_sender(self, scope: Scope) -> None:
        """Refuse foreign names of this host, and requests that another site's page makes.

        Raises:
            HTTPException: 421 or 403.
        """
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        name = _name_of(host)
        if name not in self.names and not _is_of_any_machine(name):
            raise HTTPException(421, "this service does not go by that name; name it with --allow-host")
        if scope["method"] in ("GET", "HEAD"):
            return
        origin = headers.get("origin")
        # Behind a proxy Host may be the address that the proxy asks, while Origin is what the browser shows.
        own = origin is None or _netloc(origin) == host or _name_of(_netloc(origin)) in self.pages
        # What the browser itself says of the two tells the ports of one name apart.
        if not own or headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise HTTPException(
                403, "requests from the pages of other sites are refused; name your own with --allow-host"
            )

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """The body, cut off where it is too large or too slow while it comes."""
        most = self.limits.max_bytes if scope["path"] in self.uploads else min(SMALL_BODY, self.limits.max_bytes)
        length = Headers(scope=scope).get("content-length", "0")
        too_large = HTTPException(413, f"the request is larger than {_size(most)}")
        if length.isdigit() and int(length) > most:
            raise too_large
        end, read, whole = time.monotonic() + self.limits.timeout, 0, False

        async def limited() -> Message:
            nonlocal read, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout(max(end - time.monotonic(), 0)):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"the request took longer than {self.limits.timeout:g} s to arrive") from None
            if message["type"] == "http.disconnect":
                raise HTTPException(GONE, "the client left")
            read += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if read > most:
                raise too_large
            return message

        return limited


def refusal(status: int, why: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer to a request that is refused: one line, as JSON."""
    return JSONResponse({"error": " ".join(why.split())}, status, headers)


def _netloc(origin: str) -> str:
    """Host and port of an Origin header; nothing of a damaged one."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name_of(host: str) -> str:
    """The name or address in a Host header, in small letters; "" for nonsense."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_of_any_machine(name: str) -> bool:
    """Whether it is localhost or an address: a page under a name that leads here cannot send that as its Host."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return True


def _size(count: int) -> str:
    return f"{count / (1 << 20):g} MiB" if count >= 1 << 20 else f"{count / 1024:g} KiB"
