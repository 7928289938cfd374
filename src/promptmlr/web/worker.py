"""One thread in which the model runs, over several waiting images at once; and two that decode.

Whoever waits may go away: a job that is cancelled before its turn is never done.
"""

import hashlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from torch import Tensor

from promptmlr.regions import automatic_batch_size
from promptmlr.web.served import Decoded, ServedRun

__all__ = ["Picture", "Worker"]

DECODERS = 2
KEPT_BYTES = 64 << 20  # of regions, for questions that follow about the same image: another run, a map

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Picture:
    """An image of a request, ready for the model.

    Attributes:
        key: tower and hash of its bytes.
        size: width and height in pixels.
        decoded: None where its regions were kept from before.
    """

    key: tuple[object, str]
    size: tuple[int, int]
    decoded: Decoded | None


@dataclass(frozen=True, eq=False)
class _Job(Generic[Result]):
    run: ServedRun
    picture: Picture
    regions: Tensor | None
    work: Callable[[ServedRun, Tensor], Result]
    future: "Future[Result]" = field(default_factory=Future)


class Worker:
    """The model's thread. Start it, and stop it at the end."""

    def __init__(self) -> None:
        self._jobs: deque[_Job[object]] = deque()
        self._ready = threading.Condition()
        self._stopped = False
        self._kept: OrderedDict[tuple[object, str], tuple[tuple[int, int], Tensor]] = OrderedDict()
        self._seconds = 0.1  # an image takes, as far as is known
        self._decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is in the model, and drop what waits."""
        with self._ready:
            self._stopped = True
            self._ready.notify()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        if self._thread.is_alive():
            self._thread.join()
        for job in self._jobs:
            job.future.cancel()

    @property
    def waiting(self) -> int:
        """Images that wait for the model."""
        return len(self._jobs)

    @property
    def seconds_left(self) -> float:
        """How long the images that wait will take, roughly."""
        return len(self._jobs) * self._seconds

    def prepare(self, run: ServedRun, content: bytes, name: str, max_pixels: int) -> "Future[Picture]":
        """Decode an image for a run, unless its regions are still kept.

        The future raises `UnreadableImage` for what cannot be read.
        """

        def picture() -> Picture:
            key = (run.tower, hashlib.sha256(content).hexdigest())
            with self._ready:
                kept = self._kept.get(key)
            if kept is not None:
                return Picture(key, kept[0], None)
            decoded = run.decode(content, name, max_pixels)
            return Picture(key, decoded.size, decoded)

        return self.decode(picture)

    def decode(self, work: "Callable[[], Result]") -> "Future[Result]":
        """Do what opens an image in one of the decoding threads: only so many images are in memory at once."""
        return self._decoders.submit(work)

    def submit(
        self, run: ServedRun, picture: Picture, work: Callable[[ServedRun, Tensor], Result]
    ) -> "Future[Result] | None":
        """Let `work` see the (R, D) regions of a picture in the model's thread.

        Returns:
            None where the regions of a picture that came without pixels are no longer kept: prepare it again.
        """
        with self._ready:
            kept = self._kept.get(picture.key)
            if picture.decoded is None and kept is None:
                return None
            job = _Job(run, picture, None if kept is None else kept[1], work)
            self._jobs.append(job)  # type: ignore[arg-type]
            self._ready.notify()
        return job.future

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._jobs or self._stopped)
                if self._stopped:
                    return
                batch = self._next_batch()
            begin = time.monotonic()
            self._do([job for job in batch if job.future.set_running_or_notify_cancel()])
            self._seconds += 0.2 * ((time.monotonic() - begin) / len(batch) - self._seconds)

    def _next_batch(self) -> list[_Job[object]]:
        """The jobs that wait longest and share a tower."""
        first = self._jobs[0]
        size = automatic_batch_size(first.run.run.backbone)
        batch = [job for job in self._jobs if job.run.tower == first.run.tower][:size]
        chosen = set(map(id, batch))
        self._jobs = deque(job for job in self._jobs if id(job) not in chosen)
        return batch

    def _do(self, batch: list[_Job[object]]) -> None:
        try:
            found = self._regions(batch)
        except Exception as error:  # whoever waits gets it; the thread goes on
            for job in batch:
                job.future.set_exception(error)
            return
        for job in batch:
            try:
                job.future.set_result(job.work(job.run, found[job.picture.key]))
            except Exception as error:
                job.future.set_exception(error)

    def _regions(self, batch: list[_Job[object]]) -> dict[tuple[object, str], Tensor]:
        """(R, D) of every picture of a batch: kept ones, and all others through the tower together, each once."""
        found = {job.picture.key: job.regions for job in batch if job.regions is not None}
        fresh = {job.picture.key: job.picture for job in batch if job.picture.key not in found}
        if fresh:
            decoded = [picture.decoded for picture in fresh.values() if picture.decoded is not None]
            encoded = batch[0].run.encode(decoded)
            found |= {key: regions.clone() for key, regions in zip(fresh, encoded, strict=True)}
        with self._ready:
            for key, picture in fresh.items():
                self._kept[key] = (picture.size, found[key])
            for key in found:
                if key in self._kept:
                    self._kept.move_to_end(key)
            total = sum(regions.nbytes for _, regions in self._kept.values())
            while total > KEPT_BYTES:
                _, (_, dropped) = self._kept.popitem(last=False)
                total -= dropped.nbytes
        return found
