"""What the routes share: the runs, the worker, the places to wait in, and the waiting itself."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from torch import Tensor

from promptmlr.data.images import UnreadableImage
from promptmlr.web.labelling import LabelQueue
from promptmlr.web.limits import Limits
from promptmlr.web.metrics import GONE, Metrics
from promptmlr.web.served import ServedRun
from promptmlr.web.uploads import Upload, read_uploads
from promptmlr.web.worker import Worker

__all__ = ["Service"]

Result = TypeVar("Result")
Work = Callable[[ServedRun, Tensor], Result]


@dataclass
class Service:
    """Everything that is there once, however many requests there are.

    Attributes:
        runs: the first is asked where a request names none.
        limits: of requests.
        queue: of labels, if there is one.
        ready: whether the backbones are loaded.
        worker: runs the model.
        metrics: of the service.
    """

    runs: list[ServedRun]
    limits: Limits
    queue: LabelQueue | None = None
    ready: bool = False
    worker: Worker = field(default_factory=Worker)
    metrics: Metrics = field(init=False)
    _taken: int = 0

    def __post_init__(self) -> None:
        self.metrics = Metrics(lambda: self.worker.waiting)

    def run(self, name: str | None) -> ServedRun:
        """The run of that name; the first without one.

        Raises:
            HTTPException: 404 there is none, 503 the model is still being loaded.
        """
        if not self.ready:
            raise HTTPException(503, "the model is being loaded", {"Retry-After": "5"})
        for run in self.runs:
            if name in (None, run.name):
                return run
        raise HTTPException(404, f"no run of that name; known: {', '.join(run.name for run in self.runs)}")

    async def ask(
        self, request: Request, run: ServedRun, work: "Work[Result]", most: int
    ) -> list[tuple[Upload, tuple[int, int], Result] | UnreadableImage]:
        """Let `work` see the regions of every image of a request, and wait while its client does.

        Raises:
            HTTPException: 429 all places are taken, 503 it takes too long, 499 the client left, 4xx of a bad request.
        """
        async with self.place():
            uploads = await read_uploads(request, most)
            answers = asyncio.gather(*(self._look(upload, run, work) for upload in uploads), return_exceptions=True)
            found = await self._while_there(request, answers)
        for one in found:
            if isinstance(one, UnreadableImage):
                self.metrics.images.labels("unreadable").inc()
            elif isinstance(one, MemoryError):
                raise HTTPException(503, "out of memory; try again", {"Retry-After": "10"})
            elif isinstance(one, BaseException):
                raise one
            else:
                self.metrics.images.labels("predicted").inc()
        return [one for one in found if isinstance(one, UnreadableImage | tuple)]

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One of the places to wait in, given back whatever happens.

        Raises:
            HTTPException: 429 all are taken.
        """
        if self._taken >= self.limits.concurrency:
            seconds = min(max(math.ceil(self.worker.seconds_left), 1), 60)
            raise HTTPException(429, "too many requests at once; try again", {"Retry-After": str(seconds)})
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def _look(
        self, upload: Upload, run: ServedRun, work: "Work[Result]"
    ) -> tuple[Upload, tuple[int, int], Result]:
        while True:
            ready = self.worker.prepare(run, upload.content, upload.name, self.limits.max_pixels)
            picture = await asyncio.wrap_future(ready)
            future = self.worker.submit(run, picture, work)
            if future is not None:
                return upload, picture.size, await asyncio.wrap_future(future)

    async def _while_there(self, request: Request, work: "Awaitable[Result]") -> Result:
        """The result of `work`, which is given up when the client leaves or the time is over."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait((working, leaving), timeout=self.limits.timeout, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            if leaving.done():
                raise HTTPException(GONE, "the client left")
            raise HTTPException(503, f"no answer within {self.limits.timeout:g} s; try again", {"Retry-After": "10"})
        finally:
            working.add_done_callback(_forget)
            working.cancel()
            leaving.cancel()


def _forget(work: "asyncio.Future[Any]") -> None:
    """Nobody asks any more how it ended; unread errors would be printed."""
    if not work.cancelled():
        work.exception()


async def _left(request: Request) -> None:
    """Until the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
