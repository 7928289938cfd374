"""Filling a store: the missing views, the space that they need, and their extraction."""

import hashlib
import itertools
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from promptmlr.augmentation import Augmentation
from promptmlr.data.images import UnreadableImage
from promptmlr.errors import UserError
from promptmlr.features.store import RegionStore
from promptmlr.processes import first, from_first, gathered, gathered_items, gathered_rows, own_part, processes
from promptmlr.regions import FreshRegions, Indices, index_batches, map_ahead, shared_batches
from promptmlr.reporting import Reporter

if TYPE_CHECKING:
    from promptmlr.features.remote_store import RemoteStore

    Store = RegionStore | RemoteStore

__all__ = ["WantedViews", "duration", "fill", "has_room", "size"]

DISK_LEFT_FREE = 2 << 30  # bytes that a store never takes


class WantedViews:
    """The stored views that a job asks for: of each image one as it is, or all V augmented ones.

    Args:
        fresh: images, backbone and augmentation; unreadable images are noted in its `unreadable`.
        by_content: identify images by their bytes instead of path, size and modification time.

    Attributes:
        fingerprints: of N images; None for images without a file.
        keys: V lists of N keys; meaningless without a fingerprint.
    """

    def __init__(self, fresh: FreshRegions, by_content: bool) -> None:
        self.fresh = fresh
        self._by_content = by_content
        threads = fresh.workers if by_content else 0
        own = own_part(range(len(fresh)))
        self.fingerprints = gathered_items(list(map_ahead(self._fingerprint, own, threads, ahead=1024)))
        for found in gathered(fresh.unreadable):
            fresh.unreadable.update(found)
        views = 1 if fresh.augmentation is None else fresh.augmentation.views or 0
        self.keys = [
            [_key(fingerprint, fresh.augmentation, view, i) for i, fingerprint in enumerate(self.fingerprints)]
            for view in range(views)
        ]

    def _fingerprint(self, index: int) -> str | None:
        try:
            return self.fresh.images[index].fingerprint(self._by_content)
        except UnreadableImage as error:
            self.fresh.unreadable[index] = error
            return None

    def check_unchanged(self, indices: Iterable[int]) -> None:
        """Refuse images that changed since their fingerprint was taken, because either version may be the encoded one.

        Raises:
            UserError: one was changed.
        """
        for index in indices:
            image = self.fresh.images[index]
            if image.fingerprint(self._by_content) != self.fingerprints[index]:
                raise UserError(f"{image.name} was changed while it was being encoded; repeat the command")

    def note_unreadable(self, store: "Store") -> None:
        """Note the images that the store lists as unreadable.

        Raises:
            UnreadableImage: there is one, from whatever source, and they are not to be skipped.
        """
        unreadable = self.fresh.unreadable
        for index, fingerprint in enumerate(self.fingerprints):
            if fingerprint in store.unreadable:
                unreadable[index] = UnreadableImage(store.unreadable[fingerprint])
        if unreadable and not self.fresh.skip_unreadable:
            raise unreadable[min(unreadable)]

    def readable(self) -> Indices:
        """(N',) indices of the images that are not known to be unreadable."""
        unreadable = self.fresh.unreadable
        return np.array([index for index in range(len(self.fresh)) if index not in unreadable], dtype=np.int64)

    def missing(self, store: "Store") -> list[Indices]:
        """For each view the readable images that the store does not hold."""
        readable = self.readable()
        return [np.array([i for i in readable if keys[i] not in store.rows], dtype=np.int64) for keys in self.keys]


def has_room(store: RegionStore, missing: list[Indices], reporter: Reporter) -> bool:
    """Whether the missing views fit the disk with `DISK_LEFT_FREE` to spare; notes the reason if not."""
    folder = next(parent for parent in (store.folder, *store.folder.parents) if parent.exists())
    needed = sum(map(len, missing)) * store.format.row_bytes
    if not os.access(folder, os.W_OK):
        reporter.note(f"no regions are stored: {folder} cannot be written to; name another place with --cache")
        return False
    free = shutil.disk_usage(folder).free
    if needed + DISK_LEFT_FREE > free:
        reporter.note(
            f"no regions are stored: they need {size(needed)}, {folder} has {size(free)} free, of which "
            f"{size(DISK_LEFT_FREE)} stay so; name another place with --cache"
        )
        return False
    return True


def fill(store: "Store", wanted: WantedViews, batch_size: int, reporter: Reporter) -> None:
    """Extract the missing views, with decoding and writing in other threads; call within `writing`.

    Several processes share out the images of every batch, and the first writes all of them. Every written batch is kept
    after an interruption. The first batch gives an estimate of the duration.
    """
    missing = from_first(lambda: wanted.missing(store))
    total = sum(map(len, missing))
    begin = time.perf_counter()
    batches = _extracted(store, wanted, missing, batch_size)
    beginning = next(batches, None)
    if beginning is None:
        return
    seconds = (time.perf_counter() - begin) / len(beginning[0]) * (total - len(beginning[0]))
    reporter.note(
        f"encoding {total:,} {'view' if total == 1 else 'views'} of images once, to be kept in {store.folder}: "
        f"{size(total * store.format.row_bytes)} as {store.format.storage}, about {duration(seconds)}; "
        "Ctrl-C loses nothing"
    )
    done = 0
    written: Future[None] | None = None
    with reporter.progress("encoding images") as say, ThreadPoolExecutor(1, "store") as writer:
        for keys, regions in itertools.chain([beginning], batches):
            if written is not None:
                written.result()
            if first():
                written = writer.submit(store.append, keys, regions)
            done += len(keys)
            say(done, total)
    if written is not None:
        written.result()


def _extracted(
    store: "Store", wanted: WantedViews, missing: list[Indices], batch_size: int
) -> Iterator[tuple[list[bytes], Tensor]]:
    """Keys and regions of the missing views, batch by batch."""
    asked = wanted.fresh
    seed = asked.augmentation and Augmentation(asked.augmentation.seed)  # without a draw: the epoch is the view
    fresh = FreshRegions(asked.backbone, asked.images, augmentation=seed, workers=asked.workers, skip_unreadable=True)
    for view, indices in enumerate(missing):
        indices = np.setdiff1d(indices, list(wanted.fresh.unreadable))
        plan = [indices[batch] for batch in index_batches(len(indices), batch_size * processes())]
        for chosen, counts, regions in shared_batches(fresh, plan, view):
            wanted.check_unchanged(chosen)
            yield [wanted.keys[view][i] for i in chosen], gathered_rows(regions, counts)
            _keep_unreadable(store, wanted, fresh)
        _keep_unreadable(store, wanted, fresh)


def _keep_unreadable(store: "Store", wanted: WantedViews, fresh: FreshRegions) -> None:
    """Note the images that no process could read since the last call, and store those that stay unreadable."""
    new = fresh.unreadable.keys() - wanted.fresh.unreadable.keys()
    own = [(index, fresh.unreadable[index], _is_lasting(fresh.unreadable[index])) for index in new]
    for index, error, lasting in gathered_items(own):
        wanted.fresh.unreadable[index] = error
        fingerprint = wanted.fingerprints[index]
        if fingerprint is not None and lasting and first():
            wanted.check_unchanged([index])
            store.record_unreadable(fingerprint, wanted.fresh.images[index].name, error)
    wanted.note_unreadable(store)


def _is_lasting(error: UnreadableImage) -> bool:
    """Whether it is the file that cannot be decoded, and not the system that could not read it this time."""
    return not (isinstance(error.__cause__, OSError) and error.__cause__.errno is not None)


def _key(fingerprint: str | None, augmentation: Augmentation | None, view: int, index: int) -> bytes:
    shown = "as it is" if augmentation is None else augmentation.identity(view, index)
    return hashlib.sha256(f"{fingerprint} {shown}".encode()).digest()


def size(count: int) -> str:
    """Bytes in words."""
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {unit}"
    return f"{count} bytes"


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
