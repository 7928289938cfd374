"""Hugging Face `datasets` on disk, without `datasets`: an imagefolder with metadata, or Parquet with images in it.

- imagefolder: `metadata.jsonl`, `metadata.csv` or `metadata.parquet` beside the images, or in a folder per split; a
  column `file_name`, and labels.
- Parquet: a column of images (structs of `bytes` and `path`, or paths) and labels; files are named after splits
  (`data/train-00000-of-00001.parquet`).

Labels are a column `labels` (`label`, `tags`, `categories`): a list of names, or of numbers whose names the schema's
features hold (`ClassLabel`), or one of either. A column `negatives` lists absent classes. Without such a column, all
others that hold nothing but 1, 0 and null are classes, and null is unknown.
"""

import ast
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from promptmlr.data.codes import Codes
from promptmlr.data.formats.base import Format, Writer, by_split
from promptmlr.data.images import ImageFile, ImageRef
from promptmlr.data.options import DataOptions
from promptmlr.data.output import Output, image_content
from promptmlr.data.parquet import ParquetImage
from promptmlr.data.rows import LabelledRows, ListedRows, Names, check_rows, malformed_refused, usual_split
from promptmlr.data.table import read_table, table_header
from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN
from promptmlr.names import checked_class_names

__all__ = ["FORMAT", "has_huggingface", "read_huggingface_rows", "write_huggingface"]

_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_LABELS = ("labels", "label", "tags", "categories")
_NEGATIVES = "negatives"
_FILE_NAME = "file_name"
_NOT_CLASSES = {_FILE_NAME, "split", "image", _NEGATIVES, "id", "image_id"}
_CODES = {"1": PRESENT, "0": ABSENT, "True": PRESENT, "False": ABSENT, "1.0": PRESENT, "0.0": ABSENT, "": UNKNOWN}
_NO_SPLITS = ("data", "images")  # folders that are none
_GROUP = 64  # images that are written, and read, together


@dataclass(frozen=True)
class _Table:
    """A metadata file or a Parquet file.

    Attributes:
        path: the file.
        split: what its name or its folder says, or None.
        images: N of them.
        image_ids: N names for them.
        columns: all others, by name.
        class_names: of a column of numbers, where the schema names them.
    """

    path: Path
    split: str | None
    images: list[ImageRef]
    image_ids: list[str]
    columns: dict[str, list[Any]]
    class_names: dict[str, list[str]]


def has_huggingface(path: Path) -> bool:
    """Whether this is such a file, or a folder with some in itself, in `data`, or in a folder per split."""
    if path.is_dir():
        return any(_has_names(file) for file in _files(path)[:1])
    return path.suffix.lower() == ".parquet" or path.name == _METADATA[0]


def _has_names(file: Path) -> bool:
    """Whether metadata is of images; there are other files of that name."""
    return file.suffix != ".csv" or _FILE_NAME in table_header(file)


def read_huggingface_rows(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read an imagefolder or Parquet.

    Args:
        path: the folder, or one file.
        images: the folder that `file_name` starts from, by default that of each metadata file.
        options: `unlisted`, and `delimiter` for lists in `metadata.csv`.

    Raises:
        UserError: a file is damaged, has no images or no labels; or silence is unclear.
    """
    with malformed_refused(path, "`datasets`"):
        return _read_all(path, images, options)


def _read_all(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    files = [path] if path.is_file() else _files(path)
    if not files:
        raise UserError(f"{path}: no metadata.jsonl, metadata.csv or .parquet in it, in data/ or in a folder per split")
    root = path.parent if path.is_file() else path
    tables = [_read(file, root, images) for file in files]
    splits = [
        table.split or (table.columns["split"][i] if "split" in table.columns else None)
        for table in tables
        for i in range(len(table.images))
    ]
    places = [f"{table.path}, row {i + 1}" for table in tables for i in range(len(table.images))]
    shared: dict[str, Any] = {
        "image_ids": [image_id for table in tables for image_id in table.image_ids],
        "images": [image for table in tables for image in table.images],
        "splits": None if None in splits else [str(split) for split in splits],
        "kind": "Hugging Face",
        "path": path,
        "where": places.__getitem__,
        "without_splits": "no folders or files named after splits",
    }
    label_columns = {next((name for name in _LABELS if name in table.columns), None) for table in tables}
    if len(label_columns) != 1:
        raise UserError(f"{path}: its files hold labels in different columns; name all of them labels")
    column = label_columns.pop()
    if column is None:
        return _from_class_columns(tables, shared)
    says_absent = any(_NEGATIVES in table.columns for table in tables)
    known = [table.class_names.get(column) for table in tables]
    names = [
        Names(
            _names(table, column, i, options) or (),
            (_names(table, _NEGATIVES, i, options) or ()) if _NEGATIVES in table.columns else (),
            looked=_is_said(table.columns[column][i], table, options),
        )
        for table in tables
        for i in range(len(table.images))
    ]
    class_names = list(dict.fromkeys(name for some in known for name in some or ())) if all(known) else None
    return ListedRows(names, class_names=class_names, says_absent=says_absent, **shared).labelled(options)


def write_huggingface(output: Output) -> list[str]:
    """Write an imagefolder with `metadata.jsonl`, or one Parquet file where the destination is a `.parquet`."""
    partial = bool(output.unknown and output.absent)
    if output.root is None:
        _write_parquet(output, partial=partial)
        return []
    for split, entries in output.splits().items():
        with output.file(f"{split}/metadata.jsonl" if split else "metadata.jsonl") as file:
            for entry in entries:
                record: dict[str, Any] = {_FILE_NAME: Path(entry.name).name}
                record["labels"] = output.names(entry.labels, PRESENT)
                if partial:
                    record[_NEGATIVES] = output.names(entry.labels, ABSENT)
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return []


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    for place in ([folder], inner, [path for deep in inner for path in sorted(deep.iterdir()) if path.is_dir()]):
        found = [one / name for one in place for name in _METADATA if (one / name).is_file()]
        if found:
            return found
    parquet = [path for place in (folder, *inner) for path in sorted(place.glob("*.parquet"))]
    return [path for path in parquet if not path.name.startswith("_")]


def _read(file: Path, root: Path, images: Path | None) -> _Table:
    folder = images or file.parent
    parent = next((part for part in reversed(file.relative_to(root).parts[:-1]) if part not in _NO_SPLITS), None)
    if file.suffix == ".parquet":
        return _read_parquet(file, parent, folder, root)
    records = _json_lines(file) if file.suffix == ".jsonl" else _csv_records(file)
    names = [record.get(_FILE_NAME) for record in records]
    bad = next((i for i, name in enumerate(names) if not isinstance(name, str) or not name), None)
    if bad is not None or not records:
        raise UserError(f"{file}, row {(bad or 0) + 1}: no {_FILE_NAME}, the path of its image")
    columns = {name: [record.get(name) for record in records] for name in dict.fromkeys(k for r in records for k in r)}
    return _Table(file, parent, *_image_files([str(name) for name in names], folder, root), columns, {})


def _image_files(names: Sequence[str], folder: Path, root: Path) -> tuple[list[ImageRef], list[str]]:
    files = [ImageFile(folder / name) for name in names]
    near = folder.is_relative_to(root)
    return list(files), [
        file.path.relative_to(root).as_posix() if near and not Path(name).is_absolute() else name
        for file, name in zip(files, names, strict=True)
    ]


def _json_lines(file: Path) -> list[dict[str, Any]]:
    records = []
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise UserError(f"{file}, row {number}: not a JSON object; every line must be one")
                records.append(record)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}, row {len(records) + 1}: damaged JSON ({error})") from error
    return records


def _csv_records(file: Path) -> list[dict[str, Any]]:
    table = read_table(file)
    return [dict(zip(table.header, map(table.texts.__getitem__, row), strict=True)) for row in table.cells.tolist()]


def _read_parquet(file: Path, parent: str | None, folder: Path, root: Path) -> _Table:
    try:
        schema = pq.read_schema(file)
        features = _features(schema)
        image = _image_column(schema, features, file)
        with pq.ParquetFile(file) as opened:  # read_table would take the struct apart
            table = opened.read(_light_columns(schema, image))
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{file}: not a Parquet file, or damaged ({' '.join(str(error).split())[:200]})") from error
    columns = {name: table.column(name).to_pylist() for name in table.column_names if name not in (image, "path")}
    first = file.stem.replace("_", "-").split("-", maxsplit=1)[0]
    split = parent or (first if usual_split(first) else None)
    if not pa.types.is_struct(schema.field(image).type):
        images, image_ids = _image_files(table.column(image).to_pylist(), folder, root)
    else:
        count = table.num_rows
        images = [ParquetImage(file, image, row) for row in range(count)]
        paths = (
            [value and value.get("path") for value in table.column(image).to_pylist()]
            if "path" in _fields(schema, image)
            else []
        )
        named = len(set(paths)) == count and all(paths)
        stem = file.relative_to(root).with_suffix("").as_posix()
        image_ids = (
            [f"{split}/{path}" if split else path for path in paths]
            if named
            else [f"{stem}-{row:06d}" for row in range(count)]
        )
    names = {name: found for name in schema.names if (found := _class_names(features.get(name)))}
    return _Table(file, split, images, image_ids, columns, names)


def _fields(schema: pa.Schema, image: str) -> list[str]:
    kind = schema.field(image).type
    return [kind.field(i).name for i in range(kind.num_fields)]


def _light_columns(schema: pa.Schema, image: str) -> list[str]:
    """All columns, but of images the paths alone: their bytes are read one group at a time."""
    inner = pa.types.is_struct(schema.field(image).type)
    names = [name for name in schema.names if name != image]
    return [*names, *([f"{image}.path"] if inner and "path" in _fields(schema, image) else [] if inner else [image])]


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What `datasets` keeps in the schema, under the key "huggingface"."""
    try:
        content = json.loads((schema.metadata or {})[b"huggingface"])
        return dict(content["info"]["features"])
    except (KeyError, ValueError, TypeError):
        return {}


def _image_column(schema: pa.Schema, features: dict[str, Any], file: Path) -> str:
    declared = [name for name, kind in features.items() if isinstance(kind, dict) and kind.get("_type") == "Image"]
    structs = [
        field.name for field in schema if pa.types.is_struct(field.type) and "bytes" in _fields(schema, field.name)
    ]
    found = declared or structs or [name for name in (_FILE_NAME, "image") if name in schema.names]
    if not found:
        raise UserError(f"{file}: no column of images (structs of bytes and path, or file_name)")
    return "image" if "image" in found else str(found[0])


def _class_names(feature: Any) -> list[str] | None:
    """The names of a ClassLabel, or of a list of them in any of the forms that versions of `datasets` write."""
    if isinstance(feature, list):
        feature = feature[0] if feature else None
    if not isinstance(feature, dict):
        return None
    if feature.get("_type") == "ClassLabel":
        return [str(name) for name in feature.get("names") or []] or None
    return _class_names(feature.get("feature"))


def _names(table: _Table, column: str, row: int, options: DataOptions) -> list[str] | None:
    value = table.columns[column][row]
    known = table.class_names.get(column) or table.class_names.get("labels")
    where = f"{table.path}, row {row + 1}, column {column!r}"
    if value is None:
        return None
    if isinstance(value, str) and table.path.suffix == ".csv":
        return _csv_list(value, options, where)
    found = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, bool) or not isinstance(one, int | str):
            raise UserError(f"{where}: {one!r} is neither a name nor the number of a class")
        if isinstance(one, int):
            if known is None or not 0 <= one < len(known):
                raise UserError(f"{where}: class {one} has no name in the file's features; write names")
            one = known[one]
        found.append(one)
    return found


def _csv_list(cell: str, options: DataOptions, where: str) -> list[str]:
    """A list in a CSV cell: JSON, or names apart by the delimiter."""
    if cell.startswith("["):
        try:
            found = _list_of(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise UserError(f"{where}: cannot read the list {cell[:80]!r} ({error})") from error
        return [str(one) for one in found]
    if options.delimiter is None and any(mark in cell for mark in "|;,\t "):
        raise UserError(
            f"{where}: {cell[:80]!r} may be one name or several: say what stands between names: --delimiter"
        )
    parts = [cell] if options.delimiter is None else cell.split(options.delimiter)
    return [clean for part in parts if (clean := part.strip())]


def _is_said(value: Any, table: _Table, options: DataOptions) -> bool:
    """Whether a list says anything: null does not, nor does a blank cell of a CSV unless `--codes` says so."""
    blank = value == "" and table.path.suffix == ".csv" and Codes.of(options.codes).label("") != ABSENT
    return value is not None and not blank


def _list_of(cell: str) -> list[Any]:
    """A list as JSON or as Python writes it."""
    try:
        return list(json.loads(cell))
    except ValueError:
        return list(ast.literal_eval(cell))


def _from_class_columns(tables: list[_Table], shared: dict[str, Any]) -> LabelledRows:
    """One column per class."""
    names = [name for name in tables[0].columns if name not in _NOT_CLASSES and _is_class(tables, name)]
    if not names:
        raise UserError(
            f"{shared['path']}: no column {', '.join(_LABELS)}, and no column that holds 1, 0 and null alone"
        )
    check_rows(shared["path"], shared["image_ids"], shared["where"])
    cells = [[_code(value) for table in tables for value in table.columns[name]] for name in names]
    class_names = checked_class_names(names, str(shared["path"]))
    return LabelledRows(labels=np.array(cells, dtype=np.int8).T.copy(), class_names=class_names, **shared)


def _is_class(tables: list[_Table], name: str) -> bool:
    return all(name in table.columns and all(_code(v) is not None for v in table.columns[name]) for table in tables)


def _code(value: Any) -> int | None:
    return _CODES.get("" if value is None else str(value))


def _write_parquet(output: Output, *, partial: bool) -> None:
    of_class = {"feature": {"names": list(output.class_names), "_type": "ClassLabel"}, "_type": "Sequence"}
    features: dict[str, Any] = {"image": {"_type": "Image"}, "labels": of_class}
    fields = [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("labels", pa.list_(pa.int64()))]
    if partial:
        features[_NEGATIVES] = of_class
        fields.append((_NEGATIVES, pa.list_(pa.int64())))
    if output.has_splits:
        features["split"] = {"dtype": "string", "_type": "Value"}
        fields.append(("split", pa.string()))
    schema = pa.schema(fields, {b"huggingface": json.dumps({"info": {"features": features}}).encode()})
    with output.file("data.parquet", "wb") as file, pq.ParquetWriter(file, schema) as writer:
        for batch in _batches(output, partial=partial):
            writer.write_table(pa.Table.from_pylist(batch, schema), row_group_size=_GROUP)


def _batches(output: Output, *, partial: bool) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for entry in output.entries:
        record: dict[str, Any] = {"image": {"bytes": image_content(entry.image)[0], "path": entry.name}}
        record["labels"] = np.flatnonzero(entry.labels == PRESENT).tolist()
        if partial:
            record[_NEGATIVES] = np.flatnonzero(entry.labels == ABSENT).tolist()
        if output.has_splits:
            record["split"] = entry.split
        batch.append(record)
        if len(batch) == _GROUP:
            yield batch
            batch = []
    if batch:
        yield batch


FORMAT = Format(
    "huggingface",
    "an image folder of `datasets` with metadata.jsonl, or Parquet with images",
    lambda source: has_huggingface(source.path),
    read_huggingface_rows,
    weak=True,
    writer=Writer(write_huggingface, ".parquet", by_split, lists=True, negatives=True, class_list=False),
)
