"""Lists of JSON objects as rows of texts: `.jsonl`, `[{"image": …, "labels": […]}]`, or `{"a.jpg": […], …}`.

An object in an object is a column per key (`{"labels": {"dog": 1}}`), a list of texts, numbers or named objects a list
of names. `annotations` beside `images` are rows of these images, by their ids. Where numbers stand for classes and the
file says for which (SageMaker's `class-map`, MMPretrain's `metainfo`), their names take their place.

A folder with a file of one object per image is such a list, too; an object that names no image is of the one that its
file is called after (`a.jpg.json`, `a.json`).
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from promptmlr.data.columns import is_image_name
from promptmlr.data.record_lists import are_objects, objects_in, with_class_names
from promptmlr.data.rows import read_json
from promptmlr.data.sheets import cell_text
from promptmlr.errors import UserError

__all__ = ["RECORDS", "has_records", "is_records", "record_rows"]

RECORDS = (".json", ".jsonl", ".ndjson", ".manifest")
"""The suffixes of such files."""

_NAMES = ("label", "name", "displayName", "class", "classTitle", "category", "tag", "value")
_SCORES = ("score", "confidence", "probability", "prob")
_ANSWERS = ("_answer", "_answers")  # of a question with a name of its own (Labelbox)
_LISTS = {"images", "data_list", "metainfo", "info", "train", "test"}  # keys of files of more than one image
_LARGE = 1 << 24  # bytes
_LOOKED_AT = 5  # files, when it is asked whether a folder is one of these


def is_records(path: Path) -> bool:
    """Whether a file, by its name, is one of these; any folder may be."""
    return path.suffix.lower() in RECORDS or path.is_dir()


def has_records(path: Path) -> bool:
    """Whether a folder has files of one object each, which is no list of images."""
    files = _files(path)[:_LOOKED_AT] if path.is_dir() else []
    try:
        return len(files) > 1 and all(map(_is_one, files))
    except UserError:
        return False


def record_rows(path: Path) -> Iterator[list[str]]:
    """The names of the columns, then a row for each object.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    records = _of_folder(path) if path.is_dir() else [_flat(record) for record in objects_in(path, read_json(path))]
    header = list(dict.fromkeys(key for record in records for key in record))
    yield header
    for record in records:
        yield [record.get(key, "") for key in header]


def _files(folder: Path) -> list[Path]:
    """Those that are as deep in a folder as most are, which leaves out a description of all of them."""
    files = sorted(folder.rglob("*.json"))
    deep = Counter(len(file.parts) for file in files).most_common(1)
    return [file for file in files if len(file.parts) == deep[0][0]]


def _is_one(file: Path) -> bool:
    content = read_json(file) if file.stat().st_size < _LARGE else None
    return isinstance(content, dict) and not _LISTS & content.keys() and not any(map(is_image_name, content))


def _of_folder(folder: Path) -> list[dict[str, str]]:
    files = _files(folder)
    odd = next((file for file in files if not _is_one(file)), None)
    if odd is not None or not files:
        raise UserError(f"{odd or folder}: no JSON object of one image; name a file, or a folder with a file per image")
    records = [_flat(with_class_names(read_json(file))) for file in files]
    if all(any(map(is_image_name, record.values())) for record in records):
        return records
    names = [file.relative_to(folder).with_suffix("").as_posix() for file in files]
    return [{**record, "image": name} for name, record in zip(names, records, strict=True)]


def _flat(record: Mapping[str, Any]) -> dict[str, str]:
    """Its values by key; those of objects in it by theirs, after the outer key where that is taken."""
    cells = {_last(key): _cell(value) for key, value in record.items() if not isinstance(value, dict)}
    for key, value in record.items():
        for inner, cell in (_flat(value) if isinstance(value, dict) else {}).items():
            cells[f"{_last(key)} {inner}" if inner in cells else inner] = cell
    return cells


def _last(key: str) -> str:
    """A key without the address of whoever defines it (aiplatform.googleapis.com/ml_use)."""
    start, _, end = str(key).rpartition("/")
    return end if "." in start else str(key)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        names = [_names_in(one) for one in value]
        known = [name for found in names for name in found or []]
        return json.dumps(value if None in names else known, ensure_ascii=False)
    return cell_text(value)


def _ends_in_name(key: str) -> bool:
    return key.lower().endswith("name")


def _names_in(one: Any) -> list[str] | None:
    """The class that an element of a list names, or the answers in it; None where it is no such thing, or a guess."""
    if isinstance(one, dict) and any(isinstance(one.get(key), float) and one[key] < 1 for key in _SCORES):
        return None
    if not isinstance(one, dict):
        return None if one is None or isinstance(one, list | float) else [cell_text(one)]
    answers = [value for key, value in one.items() if key.endswith(_ANSWERS)]
    own = next((one[key] for key in (*_NAMES, *filter(_ends_in_name, one)) if key in one), None)
    if own is not None and not answers:
        return _names_in(own)
    inner = answers or [value for value in one.values() if isinstance(value, dict) or are_objects(value)]
    found = [_names_in(each) for value in inner for each in (value if isinstance(value, list) else [value])]
    return [name for names in found for name in names or []] if any(found) or answers else None
