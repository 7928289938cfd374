"""Lists of JSON objects as rows of texts: `.jsonl`, `[{"image": …, "labels": […]}]`, or `{"a.jpg": […], …}`.

An object in an object is a column per key (`{"labels": {"dog": 1}}`), a list of texts, numbers or named objects a list
of names. `annotations` beside `images` are rows of these images, by their ids. Where numbers stand for classes and the
file says for which (SageMaker's `class-map`, MMPretrain's `metainfo`), their names take their place.

A folder with a file of one object per image is such a list, too; an object that names no image is of the one that its
file is called after (`a.jpg.json`, `a.json`).
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from promptmlr.data.columns import is_image_name
from promptmlr.data.sheets import cell_text
from promptmlr.errors import UserError

__all__ = ["RECORDS", "has_records", "is_records", "listed_classes", "record_rows"]

RECORDS = (".json", ".jsonl", ".ndjson", ".manifest")
"""The suffixes of such files."""

# what an object in a list of labels is called by
_NAMES = (
    "label",
    "name",
    "displayName",
    "class",
    "classTitle",
    "category",
    "tag",
    "value",
)
_ANSWERS = ("_answer", "_answers")  # of a question with a name of its own (Labelbox)
_ABOUT = "-metadata"
_LISTS = {"images", "data_list", "metainfo", "info"}  # keys of files of more than one image
_LARGE = 1 << 24  # bytes
_LOOKED_AT = 5  # files, when it is asked whether a folder is one of these
_IDS = ("id", "image_id", "imageId")
_FILES = ("file_name", "filename", "image", "path", "url")


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
    records = _of_folder(path) if path.is_dir() else [_flat(record) for record in _records(path, _content(path))]
    header = list(dict.fromkeys(key for record in records for key in record))
    yield header
    for record in records:
        yield [record.get(key, "") for key in header]


def listed_classes(path: Path) -> list[str] | None:
    """All classes, where MMPretrain's file lists them; None for all others."""
    if path.suffix.lower() != ".json" or not path.is_file() or b'"metainfo"' not in path.read_bytes():
        return None
    content = _content(path)
    return _classes(content["metainfo"]) if isinstance(content, dict) and "metainfo" in content else None


def _classes(about: Any) -> list[str] | None:
    found = (about.get("classes") or about.get("CLASSES")) if isinstance(about, dict) else None
    return list(map(str, found)) if isinstance(found, list) else None


def _files(folder: Path) -> list[Path]:
    """Those that are as deep in a folder as most are, which leaves out a description of all of them."""
    files = sorted(folder.rglob("*.json"))
    deep = Counter(len(file.parts) for file in files).most_common(1)
    return [file for file in files if len(file.parts) == deep[0][0]]


def _is_one(file: Path) -> bool:
    content = _content(file) if file.stat().st_size < _LARGE else None
    return isinstance(content, dict) and not _LISTS & content.keys() and not any(map(is_image_name, content))


def _of_folder(folder: Path) -> list[dict[str, str]]:
    files = _files(folder)
    odd = next((file for file in files if not _is_one(file)), None)
    if odd is not None or not files:
        raise UserError(f"{odd or folder}: no JSON object of one image; name a file, or a folder with a file per image")
    records = [_flat(_named_classes(_content(file))) for file in files]
    if all(any(map(is_image_name, record.values())) for record in records):
        return records
    names = [file.relative_to(folder).with_suffix("").as_posix() for file in files]
    return [{**record, "image": name} for name, record in zip(names, records, strict=True)]


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
        return list(map(_named_classes, content))
    if isinstance(content, dict):
        classes = _classes(content.get("metainfo"))
        if classes is not None and _are_objects(content.get("data_list")):
            return _of_mmpretrain(path, classes, content["data_list"])
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
        inner = [value for value in content.values() if isinstance(value, dict)]
        if not lists and len(inner) == 1 and not is_image_name(next(iter(content))):
            return _records(path, inner[0])
        if content and all(map(_are_images, content.values())):
            return _by_image(content)
        if content and all(map(is_image_name, content)):
            return [
                {"image": name, **(said if isinstance(said, dict) else {"labels": said})}
                for name, said in content.items()
            ]
    raise UserError(f'{path}: no list of images; write [{{"image": "a.jpg", "labels": ["dog", "cat"]}}, …]')


def _are_images(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and is_image_name(one) for one in value)


def _by_image(images: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The classes of each image, where a class lists its images."""
    classes: dict[str, list[str]] = {}
    for class_name, names in images.items():
        for name in dict.fromkeys(names):
            classes.setdefault(name, []).append(class_name)
    return [{"image": name, "labels": labels} for name, labels in classes.items()]


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


def _of_mmpretrain(path: Path, classes: Sequence[str], records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The images of MMPretrain's list, whose labels are places among `classes`."""
    named = []
    for number, record in enumerate(records, start=1):
        places = record.get("gt_label", [])
        places = places if isinstance(places, list) else [places]
        odd = next((one for one in places if not isinstance(one, int) or not 0 <= one < len(classes)), None)
        if odd is not None:
            raise UserError(f"{path}, row {number}: gt_label {odd!r} is none of the {len(classes)} classes of metainfo")
        named.append({**record, **({"gt_label": [classes[one] for one in places]} if "gt_label" in record else {})})
    return named


def _named_classes(record: dict[str, Any]) -> dict[str, Any]:
    """The same with names for the numbers of classes, as SageMaker explains them beside (`JOB`, `JOB-metadata`)."""
    about = {key.removesuffix(_ABOUT): value for key, value in record.items() if key.endswith(_ABOUT)}
    named = {key: value for key, value in record.items() if key.removesuffix(_ABOUT) not in about or key in about}
    for job, said in about.items():
        if not isinstance(said, dict) or job not in record:
            continue
        value, names = record[job], said.get("class-map")
        if isinstance(names, dict):
            boxes = value.get("annotations", []) if isinstance(value, dict) else value
            numbers = [one.get("class_id") if isinstance(one, dict) else one for one in boxes]
            named[job] = [names.get(str(number), str(number)) for number in numbers]
        elif said.get("class-name", job) != job:  # else the value says whether it is there
            named[job] = said["class-name"]
    return named


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
    """The class that an element of a list names, or the answers in it; None where it is no such thing."""
    if not isinstance(one, dict):
        return None if one is None or isinstance(one, list | float) else [cell_text(one)]
    answers = [value for key, value in one.items() if key.endswith(_ANSWERS)]
    own = next((one[key] for key in (*_NAMES, *filter(_ends_in_name, one)) if key in one), None)
    if own is not None and not answers:
        return _names_in(own)
    inner = answers or [value for value in one.values() if isinstance(value, dict) or _are_objects(value)]
    found = [_names_in(each) for value in inner for each in (value if isinstance(value, list) else [value])]
    return [name for names in found for name in names or []] if any(found) or answers else None
