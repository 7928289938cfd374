"""A store of regions at a URL: shards that are written once, whole or not at all, and never change.

    URL/<key>/store.json                     as in a folder on disk (`store.py`)
    URL/<key>/regions-00000-<token>.bin      rows of equal size
    URL/<key>/index-00000-<token>.bin        a record per row; it is written last, and without it there is no shard
    URL/<key>/unreadable-00000-<token>.jsonl images that could not be decoded

Object stores know neither locks nor files that grow. So shards are numbered for their order and named by their writer:
two writers at once do not meet, and what both have written counts once.
"""

import json
import secrets
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.backbone import Backbone
from promptmlr.data.images import UnreadableImage
from promptmlr.errors import EnvironmentFault
from promptmlr.features.copies import LocalCopies
from promptmlr.features.storage import RowFormat, Storage
from promptmlr.features.store import (
    RECORD_BYTES,
    description,
    key_of,
    record_of,
    records_in,
    unreadable_in,
    unreadable_line,
)
from promptmlr.remote import MissingSource, listed, read_small, storing
from promptmlr.reporting import Reporter

__all__ = ["RemoteStore"]

SHARD_BYTES = 128 << 20
AT_ONCE = 16  # requests for small files


@dataclass
class _Shard:
    """A file of rows, and the checksums of these."""

    url: str
    sums: list[int]


@dataclass
class _Opened:
    """A shard that is being written."""

    name: str
    file: IO[bytes]
    closing: ExitStack
    records: list[tuple[bytes, int]]


class RemoteStore:
    """As `RegionStore`, at a URL.

    Args:
        url: holds stores.
        backbone: the frozen CLIP.
        storage: the number format.
        copies: local copies of shards.
        shard_bytes: size of new shards; None is 128 MiB.

    Attributes:
        folder: the URL of this store.
        rows: key of a view → its row.
        unreadable: fingerprint of an image → the reason why it cannot be decoded.

    Raises:
        UserError: no such bucket, or access is refused.
        EnvironmentFault: it cannot be reached.
    """

    def __init__(
        self, url: str, backbone: Backbone, storage: Storage, copies: LocalCopies, shard_bytes: int | None = None
    ) -> None:
        self.format = RowFormat(storage, backbone.regions, backbone.feature_width)
        self._description = description(backbone, storage)
        self._names = {"backbone": backbone.name, "pretrained": backbone.pretrained}
        self.folder = f"{url.rstrip('/')}/{key_of(self._description)}"
        self._shard_rows = max((shard_bytes or SHARD_BYTES) // self.format.row_bytes, 1)
        self._copies = copies
        self._compared: set[int] = set()
        self._open: _Opened | None = None
        self._lines: list[bytes] = []  # of unreadable images, not written yet
        self.reload()

    def reload(self) -> None:
        """Read what is there."""
        try:
            names = sorted(entry.url.rpartition("/")[2] for entry in listed(self.folder) if entry.is_file)
        except MissingSource:
            names = []
        wanted = [name for name in names if name.startswith(("index-", "unreadable-"))]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            contents = dict(
                zip(wanted, pool.map(lambda name: read_small(f"{self.folder}/{name}"), wanted), strict=True)
            )
        self._there = set(names)
        self._shards: list[_Shard] = []
        self._first = np.zeros(1, dtype=np.int64)  # rows before each shard
        self.rows: dict[bytes, int] = {}
        self.unreadable: dict[str, str] = {}
        self._compared.clear()
        for name, content in contents.items():
            if name.startswith("index-"):
                self._add(name.removeprefix("index-"), list(records_in(content, len(content) // RECORD_BYTES)))
            else:
                self.unreadable |= unreadable_in(content)[1]

    def _add(self, name: str, records: Sequence[tuple[bytes, int]]) -> None:
        first = int(self._first[-1])
        for row, (key, _) in enumerate(records, first):
            self.rows.setdefault(key, row)
        self._shards.append(_Shard(f"{self.folder}/regions-{name}", [data for _, data in records]))
        self._first = np.array([0, *accumulate(len(shard.sums) for shard in self._shards)], dtype=np.int64)

    @contextmanager
    def writing(self, reporter: Reporter) -> Iterator[None]:  # noqa: ARG002
        """New rows are written, at the latest when the block ends, however it ends."""
        if "store.json" not in self._there:
            sizes = {"row_bytes": self.format.row_bytes}
            with storing(f"{self.folder}/store.json") as file:
                file.write(json.dumps(self._names | self._description | sizes, indent=2).encode() + b"\n")
        self.reload()
        try:
            yield
        finally:
            self._finish_shard()

    def append(self, keys: Sequence[bytes], regions: Tensor) -> None:
        """Store the (B, R, D) regions of B views; only within `writing`."""
        for key, row in zip(keys, self.format.pack(regions), strict=True):
            if self._open is None:
                self._open = self._begin_shard()
            self._open.file.write(row.data)
            self._open.records.append((key, zlib.crc32(row.data)))
            if len(self._open.records) == self._shard_rows:
                self._finish_shard()

    def record_unreadable(self, fingerprint: str, name: str, error: UnreadableImage) -> None:
        """Store that an image cannot be decoded, so that it is not tried again; only within `writing`."""
        self._lines.append(unreadable_line(fingerprint, name, error))
        self.unreadable[fingerprint] = str(error)

    def read(self, rows: NDArray[np.int64]) -> Tensor:
        """(B, `row_bytes`) uint8 copies of rows; each is compared with its checksum when it is first read.

        Raises:
            EnvironmentFault: a shard was removed or damaged, or cannot be brought here.
        """
        gathered = torch.empty((len(rows), self.format.row_bytes), dtype=torch.uint8)
        out, shards = gathered.numpy(), self.shards_of(rows)
        for number in np.unique(shards):
            # Mapped anew each time: a copy that others remove takes no space any longer than this.
            data = np.memmap(self.fetch(number), np.uint8, "r").reshape(-1, self.format.row_bytes)
            for place in np.flatnonzero(shards == number):
                out[place] = data[rows[place] - self._first[number]]
                self._compare(int(rows[place]), number, out[place])
        return gathered

    def _compare(self, row: int, number: int, data: NDArray[np.uint8]) -> None:
        if row in self._compared:
            return
        shard = self._shards[number]
        if zlib.crc32(data.data) != shard.sums[row - int(self._first[number])]:
            raise EnvironmentFault(f"{shard.url} or its copy in {self._copies.folder} is damaged; remove both")
        self._compared.add(row)

    def fetch(self, number: int) -> str:
        """Bring a shard here; gives the path of its copy."""
        shard = self._shards[number]
        return str(self._copies.path(shard.url, len(shard.sums) * self.format.row_bytes))

    def shards_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """In which shard each row lies."""
        return np.searchsorted(self._first, rows, side="right") - 1

    @property
    def shard_count(self) -> int:
        """How many there are."""
        return len(self._shards)

    def shards_in_copies(self) -> int:
        """How many of its largest shards the local copies have room for."""
        largest = max((len(shard.sums) for shard in self._shards), default=1) * self.format.row_bytes
        return self._copies.limit // largest

    def _begin_shard(self) -> _Opened:
        name, closing = self._new_name("bin"), ExitStack()
        return _Opened(name, closing.enter_context(storing(f"{self.folder}/regions-{name}")), closing, [])

    def _finish_shard(self) -> None:
        done, self._open = self._open, None
        if done is not None:
            done.file.truncate(len(done.records) * self.format.row_bytes)  # a row that a full disk cut short
            done.closing.close()
            with storing(f"{self.folder}/index-{done.name}") as file:
                file.writelines(record_of(row, *record) for row, record in enumerate(done.records))
            self._add(done.name, done.records)
        if self._lines:
            with storing(f"{self.folder}/unreadable-{self._new_name('jsonl')}") as file:
                file.writelines(self._lines)
            self._lines = []

    def _new_name(self, suffix: str) -> str:
        return f"{len(self._shards):05d}-{secrets.token_hex(4)}.{suffix}"
