"""Images inside Parquet, as Hugging Face `datasets` stores them: a struct of `bytes` and `path` per row."""

import bisect
import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from promptmlr.data.images import UnreadableImage, image_from_bytes

__all__ = ["ParquetImage"]


@dataclass(frozen=True, slots=True)
class ParquetImage:
    """The image of one row; read when it is opened, with those around it.

    Attributes:
        path: the Parquet file.
        column: of structs with a field `bytes`.
        row: counted from 0 in the file.
    """

    path: Path
    column: str
    row: int

    @property
    def name(self) -> str:
        """File and row, counted from 1 as in tables."""
        return f"{self.path}, row {self.row + 1}"

    def content(self) -> bytes:
        """The bytes of the image file; raises `UnreadableImage`."""
        try:
            stamp = os.stat(self.path).st_mtime_ns  # noqa: PTH116 - once per image
            starts = _starts(self.path, stamp)
            group = bisect.bisect_right(starts, self.row) - 1
            value = _images(self.path, stamp, self.column, group)[self.row - starts[group]].as_py()
        except (OSError, pa.ArrowException, IndexError, KeyError) as error:
            raise UnreadableImage(f"{self.name}: {' '.join(str(error).split())[:200]}") from error
        if value is None:
            raise UnreadableImage(f"{self.name}: no image in it")
        return bytes(value)

    def open(self) -> Image.Image:
        """The image as `image_from_bytes` reads it."""
        return image_from_bytes(self.content(), self.name)

    def fingerprint(self, content: bool = False) -> str:
        """SHA-256 of resolved path, size, time of change, column and row; under `content` of the image's bytes."""
        if content:
            return hashlib.sha256(self.content()).hexdigest()
        try:
            status = os.stat(self.path)  # noqa: PTH116 - as above
        except OSError as error:
            raise UnreadableImage(f"{self.name}: {error.strerror}") from error
        place = f"{os.path.realpath(self.path)}\0{status.st_size}\0{status.st_mtime_ns}\0{self.column}\0{self.row}"
        return hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()


@functools.lru_cache(maxsize=64)
def _starts(path: Path, _stamp: int) -> tuple[int, ...]:
    """The first row of each row group."""
    metadata = pq.read_metadata(path)
    starts = [0]
    for group in range(metadata.num_row_groups - 1):
        starts.append(starts[-1] + metadata.row_group(group).num_rows)
    return tuple(starts)


# Rows are asked for in order, or nearly: a few groups at a time are enough, and more may be gigabytes.
@functools.lru_cache(maxsize=2)
def _images(path: Path, _stamp: int, column: str, group: int) -> pa.ChunkedArray:
    with pq.ParquetFile(path) as file:
        table = file.read_row_group(group, [column], use_threads=False)
    return pa.chunked_array([chunk.field("bytes") for chunk in table.column(column).chunks])
