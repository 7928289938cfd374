"""Parquet with an image in each row, as Hugging Face and img2dataset write it, or with its address."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from promptmlr.archives.sample import Sample, ShardFault
from promptmlr.errors import nearest
from promptmlr.remote import opened

__all__ = ["read_parquet"]

ROWS_AT_ONCE = 64
_IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp", "bytes", "content")
_ADDRESSES = ("url", "image_url", "uri", "image_uri")
_IDS = ("id", "key", "__key__", "image_id", "image_name", "file_name", "filename")


def read_parquet(url: str, _files: Sequence[str], column: str | None) -> Iterator[Sample]:
    """The rows of a file, in its order; a few are in memory.

    Raises:
        ShardFault: it is no Parquet file, is cut short, has no image, or two rows of one id.
        UserError: as `opened`, or it has no such column.
        EnvironmentFault: as `opened`.
    """
    seen: set[str] = set()
    try:
        # Without these, a row group is held whole, and it may be gigabytes.
        with opened(url) as source, pq.ParquetFile(source, pre_buffer=False, buffer_size=1 << 20) as file:
            schema = file.schema_arrow
            column = _image_column(url, schema, column)
            ids = next((name for name in _IDS if name in schema.names and name != column), None)
            row = 0
            for batch in file.iter_batches(ROWS_AT_ONCE, use_threads=False):
                for record in batch.to_pylist():
                    value = record.pop(column)
                    sample = Sample(str(row if ids is None else record[ids]), _image(value), record)
                    if sample.id in seen:
                        raise ShardFault(
                            f"{url}: two rows with the {ids} {sample.id!r}; ids must differ within a shard"
                        )
                    seen.add(sample.id)
                    row += 1
                    yield sample
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ShardFault(f"{url}: no Parquet, damaged or cut short ({_short(error)}); copy it again") from error
    if not seen:
        raise ShardFault(f"{url}: no row in it")


def _image_column(url: str, schema: pa.Schema, named: str | None) -> str:
    """The column with images: one that is named, or of structs with bytes, or binary, or with addresses."""
    if named is not None:
        if named not in schema.names:
            raise ShardFault(f"{url}: no column {named!r}; {nearest(named, schema.names)}")
        return named
    structs = [
        field.name for field in schema if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    binary = [field.name for field in schema if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)]
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    usual = [name for name in binary if name.lower() in _IMAGES] or (binary if len(binary) == 1 else [])
    found = [*structs, *usual, *(name for name in texts if name.lower() in _ADDRESSES)]
    if not found:
        raise ShardFault(
            f"{url}: no column of images or addresses; name it with --image-column: {', '.join(schema.names)}"
        )
    return str(found[0])


def _image(value: object) -> bytes | str | None:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    return value if isinstance(value, bytes | str) else None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
