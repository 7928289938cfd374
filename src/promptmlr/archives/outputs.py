"""The file of a shard's rows: Parquet, or JSON in lines with the probabilities under their classes."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["FORMS"]

ROW_GROUP = 8192  # rows: the writer keeps a description of each group until the end
GROUP_BYTES = 64 << 20

WriteRows = Callable[[pa.RecordBatch], None]


@contextmanager
def _parquet(file: IO[bytes], schema: pa.Schema) -> Iterator[WriteRows]:
    waiting: list[pa.RecordBatch] = []

    def flush() -> None:
        writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=ROW_GROUP)
        waiting.clear()

    def write(rows: pa.RecordBatch) -> None:
        waiting.append(rows)
        if sum(map(len, waiting)) >= ROW_GROUP or sum(one.nbytes for one in waiting) >= GROUP_BYTES:
            flush()

    with pq.ParquetWriter(file, schema) as writer:
        yield write
        if waiting:
            flush()


@contextmanager
def _jsonl(file: IO[bytes], schema: pa.Schema) -> Iterator[WriteRows]:
    classes = [field.name for field in schema if field.type == pa.float32()]

    def write(rows: pa.RecordBatch) -> None:
        for row in rows.to_pylist():
            values = {name: row.pop(name) for name in classes}
            if row["error"] is None and values:
                row["probabilities"] = {name: round(value, 6) for name, value in values.items()}
            if "given" in row:
                row["given"] = dict(row["given"])
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    yield write


FORMS: dict[str, Callable[[IO[bytes], pa.Schema], AbstractContextManager[WriteRows]]] = {
    "parquet": _parquet,
    "jsonl": _jsonl,
}
"""Name, which is also the suffix → a file and the schema of the rows → a writer of them."""
