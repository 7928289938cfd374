"""Lists of JSON objects as rows of texts: `.jsonl`, `[{"image": …, "labels": […]}]`, or `{"a.jpg": […], …}`.

An object in an object is a column per key (`{"labels": {"dog": 1}}`), a list of texts, numbers or named objects a list
of names. `annotations` beside `images` are rows of these images, by their ids.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from promptmlr.data.columns import is_image_name
from promptmlr.data.sheets import cell_text
from promptmlr.errors import UserError

__all__ = ["RECORDS", "record_rows"]

RECORDS = (".json", ".jsonl", ".ndjson")
"""The suffixes of such files."""

_NAMES = ("label", "name", "class", "category", "tag", "value")  # what an object in a list of labels is called by
_IDS = ("id", "image_id", "imageId")
_FILES = ("file_name", "filename", "image", "path", "url")


def record_rows(path: Path) -> Iterator[list[str]]:
    """The names of the columns, then a row for each object.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    records = [_flat(record) for record in _records(path, _content(path))]
    header = list(dict.fromkeys(key for record in records for key in record))
    yield header
    for record in records:
        yield [record.get(key, "") for key in header]


def _content(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            return json.loads(text)
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged JSON ({error}); export it again") from error


def _records(path: Path, content: Any) -> Sequence[Mapping[str, Any]]:
    if _are_objects(content):
        return content
    if isinstance(content, dict):
        lists = {key: value for key, value in content.items() if _are_objects(value)}
        if any("caption" in one for one in lists.get("annotations", ())[:1]):
            raise UserError(
                f"{path}: captions and no categories, so it names no classes; COCO's labels are in "
                "instances_train2017.json and instances_val2017.json, beside it"
            )
        if "annotations" in lists:
            return _joined(lists["annotations"], lists.get("images", ()))
        if len(lists) == 1:
            return next(iter(lists.values()))
        if content and all(map(is_image_name, content)):
            return [
                {"image": name, **(said if isinstance(said, dict) else {"labels": said})}
                for name, said in content.items()
            ]
    raise UserError(f'{path}: no list of images; write [{{"image": "a.jpg", "labels": ["dog", "cat"]}}, …]')


def _are_objects(content: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(content, list) and bool(content) and all(isinstance(one, dict) for one in content)


def _joined(annotations: Sequence[dict[str, Any]], images: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Annotations, each with the file of the image that it is of."""
    files = {
        str(image[key]): image[name]
        for image in images
        for key in [key for key in _IDS if key in image][:1]
        for name in [name for name in _FILES if name in image][:1]
    }
    joined = []
    for one in annotations:
        key = next((key for key in ("image_id", "imageId") if str(one.get(key)) in files), None)
        rest = {name: value for name, value in one.items() if name not in (key, "id")}
        joined.append(one if key is None else {"image": files[str(one[key])], **rest})
    return joined


def _flat(record: Mapping[str, Any]) -> dict[str, str]:
    cells: dict[str, str] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            cells |= {str(inner): _cell(one) for inner, one in value.items()}
        else:
            cells[str(key)] = _cell(value)
    return cells


def _cell(value: Any) -> str:
    if isinstance(value, list):
        names = [_named(one) for one in value]
        return json.dumps(value if None in names else names, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else cell_text(value)


def _named(one: Any) -> str | None:
    if isinstance(one, dict):
        return next((_named(one[key]) for key in _NAMES if key in one), None)
    return None if one is None or isinstance(one, list | float) else cell_text(one)
