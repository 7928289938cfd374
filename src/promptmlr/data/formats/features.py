"""A data set of features that somebody computed before: `.npz` or `.parquet`, with no image in it.

A `.npz` (np.savez) holds

    features     (N, D) or (N, R, D) floating point: a vector, or R regions, for each image
    labels       (N, C) of 1 present, 0 absent, -1 or NaN unknown; without it all are unknown
    class_names  (C,) texts
    text         (C, D), optional: text features of the classes, in the same space
    image        (N,), optional: names of the images; `ids` is the same
    split        (N,) texts, optional
    fold         (N,) whole numbers, optional

A `.parquet` holds a column `features` of lists, or of lists of lists; optionally `image` (or `id`), `split` and `fold`;
every other column is a class, of 1, 0 and null. Its text features are a file beside it, `NAME.text.parquet`, with the
columns `class` and `features`.
"""

import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from promptmlr.data.formats.base import Format
from promptmlr.data.options import DataOptions
from promptmlr.data.precomputed import Features, precomputed_images
from promptmlr.data.rows import LabelledRows, check_rows
from promptmlr.errors import UserError, nearest
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.names import checked_class_names, first_names

__all__ = [
    "FORMAT",
    "FeatureTable",
    "class_vectors",
    "has_features",
    "read_feature_rows",
    "read_features",
    "regions_from",
]

_KEYS = ("features", "labels", "class_names", "text", "image", "ids", "split", "fold")
_NOT_CLASSES = ("features", "image", "id", "split", "fold")
_PANDAS_INDEX = "__index_level_"
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    KeyError,
    zipfile.BadZipFile,
    zlib.error,
)  # what np.load raises


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """A file of features as it is written: N rows, C classes.

    Attributes:
        path: the file.
        features: of all rows; its text is that of the classes.
        image_ids: N names, those of the file or made up from its own.
        labels: (N, C) int8, all unknown where the file says nothing.
        class_names: C names; none where the file has none.
        splits: the split of each row, or None.
        folds: (N,) int64, or None.
    """

    path: Path
    features: Features
    image_ids: list[str]
    labels: Labels
    class_names: tuple[str, ...]
    splits: list[str] | None
    folds: NDArray[np.int64] | None

    def where(self, row: int) -> str:
        """File and row, for messages."""
        return f"{self.path}, row {row} counted from 0"


def has_features(path: Path) -> bool:
    """Whether a file holds features: a `.npz`, or a `.parquet` without images and with a column `features` of lists."""
    if path.suffix.lower() == ".npz":
        return True
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return False
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException):  # whoever reads it will say
        return False
    images = any(pa.types.is_struct(kind) for kind in schema.types)
    named = (schema.field(place) for place in schema.get_all_field_indices("features"))
    return not images and any(_is_vectors(field.type) for field in named)


def read_feature_rows(path: Path, _images: Path | None, _options: DataOptions) -> LabelledRows:
    """Read a data set of features.

    Raises:
        UserError: as `read_features`; or it has no classes.
    """
    table = read_features(path)
    if not table.class_names:
        missing = "no key 'class_names'" if path.suffix.lower() == ".npz" else "no column that is a class"
        raise UserError(f"{path}: {missing}; what is trained or scored needs names and labels of classes")
    count, width = table.features.regions.shape[1:]
    kind = "vectors" if count == 1 else f"{count} regions"
    length = float(np.linalg.norm(table.features.regions, axis=2).mean())
    text = "with" if table.features.text else "without"
    return LabelledRows(
        table.image_ids,
        precomputed_images(table.features, table.image_ids),
        table.labels,
        table.class_names,
        table.splits,
        "features",
        path,
        table.where,
        "no key 'split'" if path.suffix.lower() == ".npz" else "no column 'split'",
        (f"{kind} of width {width} and mean length {length:.3g}, {text} text features of the classes",),
        table.features,
        table.folds,
    )


def read_features(path: Path) -> FeatureTable:
    """Read a file of features; labels and classes may be missing, as `promptmlr predict` needs none.

    Raises:
        UserError: it is missing or damaged, has an unknown key, or its parts do not fit together.
    """
    if not path.is_file():
        raise UserError(f"no such file: {path}")
    table = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_npz(path)
    check_rows(path, table.image_ids, table.where)
    return table


def regions_from(array: NDArray[Any], what: str) -> NDArray[np.float32]:
    """(N, D) vectors or (N, R, D) regions as (N, R, D) float32.

    Args:
        array: floating point.
        what: to call it in messages.

    Raises:
        UserError: another shape or type, nothing in it, or a number that is not finite in float32.
    """
    if array.dtype.kind != "f":
        raise UserError(f"{what} is of type {array.dtype}; features are floating point numbers, such as float32")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise UserError(f"{what} has shape {array.shape}; features are (N, D), or (N, R, D) for R regions of an image")
    with np.errstate(over="ignore"):
        regions = array.reshape(len(array), -1, array.shape[-1]).astype(np.float32, copy=False)
    bad = np.flatnonzero(~np.isfinite(regions).all(axis=(1, 2)))
    if len(bad):
        raise UserError(f"{what}[{bad[0]}] holds NaN, or a number too large for float32 ({len(bad)} rows do)")
    return regions


def class_vectors(array: NDArray[Any], names: Sequence[str], width: int, what: str) -> dict[str, NDArray[np.float32]]:
    """Class name → (D,) text features.

    Args:
        array: (C, D) floating point.
        names: C class names.
        width: D.
        what: to call it in messages.

    Raises:
        UserError: another shape or type, a number that is not finite, or a class whose numbers are all zero.
    """
    if array.shape != (len(names), width):
        raise UserError(
            f"{what} has shape {array.shape}, where {len(names)} classes and features of width {width} need "
            f"{(len(names), width)}"
        )
    vectors = regions_from(array, what)[:, 0]
    for name, vector in zip(names, vectors, strict=True):
        if not vector.any():
            raise UserError(f"{what}: those of class {name!r} are all zero, and a class text has a direction")
    return dict(zip(names, vectors, strict=True))


def _read_npz(path: Path) -> FeatureTable:
    arrays = _arrays(path)
    for key in arrays:
        if key not in _KEYS:
            raise UserError(f"{path}: unknown key {key!r}; {nearest(key, _KEYS)}")
    if "features" not in arrays:
        raise UserError(f"{path}: no key 'features'; it has {first_names(list(map(repr, arrays))) or 'none'}")
    if "image" in arrays and "ids" in arrays:
        raise UserError(f"{path}: image and ids both name its rows; keep one of them")
    regions = regions_from(arrays["features"], f"{path}: features")

    def texts(key: str, count: int) -> list[str]:
        return _texts(arrays[key], f"{path}: {key}", count)

    names: tuple[str, ...] = ()
    if "class_names" in arrays:
        names = checked_class_names(texts("class_names", arrays["class_names"].size), str(path))
    for key in ("labels", "text"):
        if key in arrays and not names:
            raise UserError(f"{path}: {key} without class_names; add them, one name for each class")
    shape = len(regions), len(names)
    labels = _labels(arrays["labels"], shape, f"{path}: labels") if "labels" in arrays else _all_unknown(shape)
    text = class_vectors(arrays["text"], names, regions.shape[2], f"{path}: text") if "text" in arrays else {}
    key = "image" if "image" in arrays else "ids"
    return FeatureTable(
        path,
        Features(regions, text),
        texts(key, len(regions)) if key in arrays else _made_up(path, len(regions)),
        labels,
        names,
        texts("split", len(regions)) if "split" in arrays else None,
        _folds(arrays["fold"], len(regions), f"{path}: fold") if "fold" in arrays else None,
    )


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a `.npz`; nothing in it is run as code."""
    key = ""
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise UserError(f"{path} is one array; write it with np.savez, as features=…")
            found = {}
            for key in file.files:
                found[key] = file[key]
            return found
    except _DAMAGED as error:
        if "allow_pickle" in str(error) and key:
            raise UserError(
                f"{path}: {key} holds Python objects, which could run code; make it an array of numbers or texts: "
                f"np.array({key}, dtype={'float' if key in ('features', 'labels', 'text') else 'str'})"
            ) from error
        said = "no .npz" if "allow_pickle" in str(error) else " ".join(str(error).split())[:120]
        raise UserError(f"{path} is damaged, or was not written by np.savez ({said})") from error


def _read_parquet(path: Path) -> FeatureTable:
    table = _parquet(path)
    columns = [name for name in table.column_names if not name.startswith(_PANDAS_INDEX)]
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        raise UserError(f"{path}: {columns.count(twice)} columns are named {twice!r}; keep one")
    if "image" in columns and "id" in columns:
        raise UserError(f"{path}: the columns image and id both name its rows; keep one of them")
    regions = regions_from(_vectors(table, path), f"{path}: features")
    written = [name for name in columns if name not in _NOT_CLASSES]
    names = checked_class_names(written, str(path)) if written else ()
    labels = [_class_column(table.column(name), f"{path}, column {name!r}") for name in written]
    key = "image" if "image" in columns else "id"

    def texts(name: str) -> list[str]:
        return _texts(np.array(table.column(name).to_pylist()), f"{path}, column {name!r}", len(regions))

    return FeatureTable(
        path,
        Features(regions, _text_beside(path, names, regions.shape[2])),
        texts(key) if key in columns else _made_up(path, len(regions)),
        np.stack(labels, axis=1) if labels else _all_unknown((len(regions), 0)),
        names,
        texts("split") if "split" in columns else None,
        _folds(table.column("fold").to_numpy(), len(regions), f"{path}, column 'fold'") if "fold" in columns else None,
    )


def _parquet(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:  # not as a data set: a folder's name says nothing
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} is damaged ({' '.join(str(error).split())[:120]}); write it again") from error
    twice = next((name for name, count in Counter(table.column_names).items() if count > 1), None)
    if twice is not None:
        raise UserError(f"{path}: {twice!r} is the name of two columns; rename one of them")
    return table


def _is_vectors(kind: pa.DataType) -> bool:
    """Lists of floating point numbers, or lists of such lists."""
    inner = kind.value_type if _is_list(kind) else None
    inner = inner.value_type if inner is not None and _is_list(inner) else inner
    return inner is not None and pa.types.is_floating(inner)


def _is_list(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.ListType | pa.LargeListType | pa.FixedSizeListType)


def _vectors(table: pa.Table, path: Path) -> NDArray[Any]:
    """The column `features` as (N, D) or (N, R, D)."""
    if "features" not in table.column_names or not _is_vectors(table.column("features").type):
        raise UserError(f"{path}: no column 'features' of lists of floating point numbers, one list for each image")
    if not table.num_rows:
        raise UserError(f"{path}: no row in it; add one for each image")
    chunks = [_array(chunk, path) for chunk in table.column("features").chunks if len(chunk)]
    if len({chunk.shape[1:] for chunk in chunks}) > 1:
        raise _uneven(path)
    return np.concatenate(chunks)


def _array(lists: pa.Array, path: Path) -> NDArray[Any]:
    """Lists of one length as an array with one more dimension."""
    lengths = pc.unique(pc.list_value_length(lists)).to_pylist()
    if len(lengths) != 1 or lengths[0] is None:
        raise _uneven(path)
    inner = lists.flatten()
    values = _array(inner, path) if _is_list(inner.type) else inner.to_numpy(zero_copy_only=False)
    return values.reshape(len(lists), lengths[0], *values.shape[1:])


def _uneven(path: Path) -> UserError:
    return UserError(
        f"{path}: the lists of 'features' are of several lengths, or one is null; each image needs as many"
    )


def _class_column(column: pa.ChunkedArray, where: str) -> NDArray[np.int8]:
    """(N,) labels of one class."""
    kind = column.type
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or kind == pa.null()):
        raise UserError(
            f"{where} is of type {kind}, and every column but {', '.join(_NOT_CLASSES)} is a class of 1, 0 and null; "
            "leave it out of the file"
        )
    cells = pc.cast(column, pa.float64()).to_numpy()
    if (cells == -1).any():
        raise UserError(f"{where}: -1 means absent to some and unknown to others: write 0 for absent, null for unknown")
    return _codes(cells, lambda place: f"{where}, row {place[0]} counted from 0,", "null for unknown")


def _text_beside(path: Path, names: Sequence[str], width: int) -> dict[str, NDArray[np.float32]]:
    """The text features of a `.parquet`, from the file beside it."""
    beside = path.with_suffix(".text.parquet")
    if not beside.is_file():
        return {}
    table = _parquet(beside)
    if "class" not in table.column_names:
        raise UserError(f"{beside}: no column 'class'; text features need the names of their classes")
    vectors = _vectors(table, beside)
    known = checked_class_names(table.column("class").to_pylist(), str(beside))
    found = class_vectors(vectors, known, width, f"{beside}: features")
    for name in names:
        if name not in found:
            raise UserError(f"{beside}: no text features of class {name!r}; {nearest(name, found)}")
    return {name: found[name] for name in names}


def _labels(array: NDArray[Any], shape: tuple[int, int], what: str) -> Labels:
    if array.shape != shape:
        raise UserError(f"{what} has shape {array.shape}, where {shape[0]} rows and {shape[1]} classes need {shape}")
    if array.dtype.kind not in "biuf":
        raise UserError(f"{what} is of type {array.dtype}; write 1 for present, 0 for absent, -1 or NaN for unknown")
    cells = array.astype(np.float64)
    cells[cells == -1] = np.nan
    return _codes(cells, lambda place: f"{what}[{place[0]}, {place[1]}]", "-1 or NaN for unknown")


def _codes(cells: NDArray[np.float64], where: Callable[[Any], str], unknown: str) -> NDArray[np.int8]:
    """1, 0 and NaN as codes."""
    bad = np.argwhere(~(np.isnan(cells) | (cells == PRESENT) | (cells == ABSENT)))
    if len(bad):
        value = cells[tuple(bad[0])]
        raise UserError(f"{where(bad[0])} is {value:g}; write 1 for present, 0 for absent, {unknown}")
    return np.where(np.isnan(cells), UNKNOWN, np.nan_to_num(cells)).astype(np.int8)


def _all_unknown(shape: tuple[int, int]) -> Labels:
    return np.full(shape, UNKNOWN, dtype=np.int8)


def _texts(array: NDArray[Any], what: str, count: int) -> list[str]:
    if array.shape != (count,):
        raise UserError(f"{what} has shape {array.shape}, where {(count,)} is needed, one for each")
    if array.dtype.kind not in "USiu":
        raise UserError(f"{what} is of type {array.dtype}, or has gaps; write a text for each")
    try:
        return [text.decode() if isinstance(text, bytes) else str(text) for text in array.tolist()]
    except UnicodeDecodeError as error:
        raise UserError(f"{what} holds bytes that are not UTF-8; write texts") from error


def _folds(array: NDArray[Any], count: int, what: str) -> NDArray[np.int64]:
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise UserError(
            f"{what} is {array.dtype} of shape {array.shape}; write {count} whole numbers, one for each row"
        )
    return array.astype(np.int64)


def _made_up(path: Path, count: int) -> list[str]:
    """Names for rows that have none, in their order: other files have other ones."""
    return [f"{path.name} {row:0{len(str(count - 1))}d}" for row in range(count)]


FORMAT = Format(
    "features",
    "a .npz or .parquet of features instead of images",
    lambda source: has_features(source.path),
    read_feature_rows,
    says_all=True,
)
