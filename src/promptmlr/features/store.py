"""A folder of regions on disk that stays valid if its writer is killed at any time.

    CACHE/<key>/store.json         what decides the regions besides the image: tower, preprocessing, number format
    CACHE/<key>/regions-00000.bin  rows of equal size, one image view each; files of bounded size
    CACHE/<key>/index.bin          one record per row, in the order of the rows: key of the view, checksums of both
    CACHE/<key>/unreadable.jsonl   images that could not be decoded: fingerprint, name, reason
    CACHE/<key>/lock               held by the one process that writes

A row is synced before its record is written, and only rows with a whole record exist: whatever a killed writer left
after the last whole record is ignored by readers and overwritten by the next writer. Nothing is ever changed in place.
"""

import contextlib
import hashlib
import itertools
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.backbone import Backbone
from promptmlr.data.images import UnreadableImage
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.features.storage import RowFormat, Storage
from promptmlr.files import write_at, write_text
from promptmlr.locks import only_process
from promptmlr.reporting import Reporter

__all__ = ["RegionStore"]

FORMAT = 2  # to be raised when the same weights and pixels come to give other regions
SHARD_BYTES = 1 << 30
KEY_BYTES = 32
RECORD_BYTES = KEY_BYTES + 8
PATIENCE = 600.0  # seconds without a new row: no batch takes that long


class RegionStore:
    """The store of one backbone at one preprocessing and number format; made when something is first written.

    Args:
        cache: the folder that holds stores.
        backbone: the frozen CLIP.
        storage: the number format.
        shard_bytes: size of a file of rows, in a store that is made anew; None is 1 GiB.

    Attributes:
        rows: key of a view → its row.
        unreadable: fingerprint of an image → the reason why it cannot be decoded.

    Raises:
        UserError: the folder holds something else, or its description is damaged.
    """

    def __init__(self, cache: Path, backbone: Backbone, storage: Storage, shard_bytes: int | None = None) -> None:
        self.format = RowFormat(storage, backbone.regions, backbone.feature_width)
        self._description = description(backbone, storage)
        self.folder = cache / key_of(self._description)
        self._names = {"backbone": backbone.name, "pretrained": backbone.pretrained}
        self._shard_rows = max((shard_bytes or SHARD_BYTES) // self.format.row_bytes, 1)
        self.rows: dict[bytes, int] = {}
        self.unreadable: dict[str, str] = {}
        self._sums: list[int] = []  # of the rows' data
        self._compared: set[int] = set()  # rows whose data was found to have its checksum
        self._unreadable_bytes = 0
        self._shards: dict[int, NDArray[np.uint8]] = {}
        self.reload()

    def reload(self) -> None:
        """Read the index from disk again."""
        self._check_description()
        self._shards.clear()
        self._compared.clear()
        try:
            self._sums, self.rows = self._read_index()
            self._unreadable_bytes, self.unreadable = self._read_unreadable()
        except OSError as error:
            raise EnvironmentFault(f"cannot read {error.filename}: {error.strerror}; remove {self.folder}") from error

    @contextlib.contextmanager
    def writing(self, reporter: Reporter) -> Iterator[None]:
        """Hold the writer's lock; waits for another writer as long as that makes progress, then reads its rows."""
        index, elsewhere = self.folder / "index.bin", "name another place with --cache"
        with only_process(
            self.folder / "lock",
            f"another process writes to {self.folder}, and no row in {PATIENCE / 60:.0f} minutes; {elsewhere}",
            PATIENCE,
            elsewhere=elsewhere,
            progress=lambda: index.exists() and index.stat().st_size,
            on_wait=lambda: reporter.note(
                f"waiting for another process that writes to {self.folder}; its regions will be used"
            ),
        ):
            if not (self.folder / "store.json").exists():
                write_text(self.folder / "store.json", json.dumps(self._full_description(), indent=2) + "\n")
            self.reload()
            # Records beyond the last good row must be gone before other data takes their rows.
            write_at(index, len(self._sums) * RECORD_BYTES, b"")
            yield

    def append(self, keys: Sequence[bytes], regions: Tensor) -> None:
        """Store the (B, R, D) regions of B views durably; only within `writing`."""
        packed, first = self.format.pack(regions), len(self._sums)
        for begin, end, shard, row in self._pieces(first, len(packed)):
            write_at(self._shard_path(shard), row * self.format.row_bytes, packed[begin:end].data)
        sums = [zlib.crc32(row) for row in packed]
        records = b"".join(
            record_of(first + i, key, data) for i, (key, data) in enumerate(zip(keys, sums, strict=True))
        )
        write_at(self.folder / "index.bin", first * RECORD_BYTES, records)
        self.rows.update((key, first + i) for i, key in enumerate(keys))
        self._sums += sums
        self._shards.clear()

    def record_unreadable(self, fingerprint: str, name: str, error: UnreadableImage) -> None:
        """Store that an image cannot be decoded, so that it is not tried again; only within `writing`."""
        line = unreadable_line(fingerprint, name, error)
        write_at(self.folder / "unreadable.jsonl", self._unreadable_bytes, line)
        self._unreadable_bytes += len(line)
        self.unreadable[fingerprint] = str(error)

    def read(self, rows: NDArray[np.int64]) -> Tensor:
        """(B, `row_bytes`) uint8 copies of rows; each is compared with its checksum when it is first read.

        Raises:
            EnvironmentFault: the store was removed, cut off or damaged since it was opened.
        """
        gathered = torch.empty((len(rows), self.format.row_bytes), dtype=torch.uint8)
        for out, row in zip(gathered.numpy(), rows, strict=True):
            shard, place = divmod(int(row), self._shard_rows)
            out[:] = self._shard(shard)[place]
            if row not in self._compared:
                if zlib.crc32(out) != self._sums[row]:
                    raise EnvironmentFault(f"{self._shard_path(shard)} is damaged; remove {self.folder}")
                self._compared.add(int(row))
        return gathered

    def shards_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """In which file each row lies."""
        return rows // self._shard_rows

    def _pieces(self, first: int, count: int) -> Iterator[tuple[int, int, int, int]]:
        """Cut `count` rows from row `first` on at the ends of shards: begin, end, shard, row within it."""
        begin = 0
        while begin < count:
            shard, row = divmod(first + begin, self._shard_rows)
            end = min(count, begin + self._shard_rows - row)
            yield begin, end, shard, row
            begin = end

    def _shard_path(self, shard: int) -> Path:
        return self.folder / f"regions-{shard:05d}.bin"

    def _shard(self, shard: int) -> NDArray[np.uint8]:
        if shard not in self._shards:
            count = min(self._shard_rows, len(self._sums) - shard * self._shard_rows)
            shape, path = (count, self.format.row_bytes), self._shard_path(shard)
            try:
                self._shards[shard] = np.memmap(path, np.uint8, "r", shape=shape)
            except (OSError, ValueError) as error:
                raise EnvironmentFault(f"{path} was removed or cut off meanwhile; repeat the command") from error
        return self._shards[shard]

    def _full_description(self) -> dict[str, Any]:
        sizes = {"row_bytes": self.format.row_bytes, "shard_rows": self._shard_rows}
        return self._names | self._description | sizes

    def _check_description(self) -> None:
        path = self.folder / "store.json"
        if not path.exists():
            return
        try:
            found = json.loads(path.read_bytes())
            same = all(found[key] == value for key, value in self._description.items())
            self._shard_rows = int(found["shard_rows"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise UserError(f"{path} is damaged ({error}); remove {self.folder}") from error
        if not same or self._shard_rows < 1:
            raise UserError(f"{path} describes another store; remove {self.folder}")

    def _read_index(self) -> tuple[list[int], dict[bytes, int]]:
        """Of the leading rows that have a whole record and whose data is there: checksums, and the row of each key."""
        path = self.folder / "index.bin"
        content = path.read_bytes() if path.exists() else b""
        sums: list[int] = []
        rows: dict[bytes, int] = {}
        for row, (key, data) in enumerate(records_in(content, self._rows_on_disk())):
            sums.append(data)
            rows[key] = row
        return sums, rows

    def _rows_on_disk(self) -> int:
        """Leading rows that are whole, up to the first shard that is not full."""
        for shard in itertools.count():
            path = self._shard_path(shard)
            held = path.stat().st_size // self.format.row_bytes if path.exists() else 0
            if held < self._shard_rows:
                return shard * self._shard_rows + held
        raise AssertionError

    def _read_unreadable(self) -> tuple[int, dict[str, str]]:
        path = self.folder / "unreadable.jsonl"
        return unreadable_in(path.read_bytes() if path.exists() else b"")


def description(backbone: Backbone, storage: Storage) -> dict[str, Any]:
    """What decides the regions of a store besides its images."""
    found: dict[str, Any] = {
        "format": FORMAT,
        "weights_sha256": backbone.weights_sha256,
        "quick_gelu": backbone.quick_gelu,
        "tower_dtype": str(backbone.dtype),
        "preprocessing": backbone.preprocessing.as_dict(),
        "regions": backbone.regions,
        "feature_width": backbone.feature_width,
        "storage": storage,
    }
    if backbone.way != "value":  # stores of before there were others stay valid
        found["way"] = backbone.way
    return found


def key_of(described: dict[str, Any]) -> str:
    """The name of a store's folder: 24 hexadecimal digits of a hash."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:24]


def unreadable_line(fingerprint: str, name: str, error: UnreadableImage) -> bytes:
    """What a store notes of an image that cannot be decoded."""
    return json.dumps({"fingerprint": fingerprint, "name": name, "reason": str(error)}).encode() + b"\n"


def unreadable_in(content: bytes) -> tuple[int, dict[str, str]]:
    """How many bytes are whole lines, and the reason for each fingerprint in them."""
    whole, found = 0, {}
    while (end := content.find(b"\n", whole)) >= 0:
        try:
            entry = json.loads(content[whole:end])
            found[str(entry["fingerprint"])] = str(entry["reason"])
        except (ValueError, KeyError, TypeError):
            break
        whole = end + 1
    return whole, found


def records_in(content: bytes, most: int) -> Iterator[tuple[bytes, int]]:
    """Key and checksum of the leading rows that have a whole record, at most so many."""
    for row in range(min(len(content) // RECORD_BYTES, most)):
        record = content[row * RECORD_BYTES : (row + 1) * RECORD_BYTES]
        key, data = record[:KEY_BYTES], int.from_bytes(record[KEY_BYTES:-4], "little")
        if record != record_of(row, key, data):
            return
        yield key, data


def record_of(row: int, key: bytes, data: int) -> bytes:
    """Key and checksum of a row's data, and a checksum that makes them those of this row alone."""
    body = key + data.to_bytes(4, "little")
    return body + zlib.crc32(row.to_bytes(8, "little") + body).to_bytes(4, "little")
