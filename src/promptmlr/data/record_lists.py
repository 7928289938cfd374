"""Where the objects are that a JSON file lists, one for each image or annotation, with names for their classes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from promptmlr.data.columns import LABELS, SPLIT_NAMES, folded, has_images, is_image_name
from promptmlr.data.rows import read_json
from promptmlr.errors import UserError
from promptmlr.options.data import DataOptions

__all__ = ["are_objects", "listed_classes", "objects_in", "with_class_names"]

_ABOUT = "-metadata"
_CLASSES = ("classes", "class_names", "CLASSES")
_OF_CLASSES = (*LABELS, "gtlabel")  # keys whose numbers are places among the classes
_IDS = ("id", "image_id", "imageId")
_FILES = ("file_name", "filename", "image", "path", "url")
_DEFAULTS = DataOptions()


def objects_in(path: Path, content: Any) -> Sequence[Mapping[str, Any]]:
    """The objects of a file.

    Args:
        path: the file, for messages.
        content: what is in it.

    Raises:
        UserError: it lists no images, or a number of a class is none.
    """
    if are_objects(content):
        return list(map(with_class_names, content))
    classes, rest = _with_classes(content)
    found = _found(path, rest) if isinstance(rest, dict) and rest else None
    if found is None:
        raise UserError(f'{path}: no list of images; write [{{"image": "a.jpg", "labels": ["dog", "cat"]}}, …]')
    return found if classes is None else list(_with_names(path, found, classes))


def listed_classes(path: Path) -> list[str] | None:
    """All classes, where a file lists them (MMPretrain's `metainfo`); None for all others."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return None
    start = path.read_bytes()
    return _with_classes(read_json(path))[0] if any(f'"{key}"'.encode() in start for key in _CLASSES) else None


def _with_classes(content: Any) -> tuple[list[str] | None, Any]:
    """The names of classes that stand beside a list of images, and the rest."""
    if not isinstance(content, dict):
        return None, content
    about = content.get("metainfo")
    places = [about, content] if isinstance(about, dict) else [content]
    found = [place[key] for place in places for key in _CLASSES if _are_texts(place.get(key))]
    return (found[0] if found else None), {k: v for k, v in content.items() if k not in ("metainfo", *_CLASSES)}


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _found(path: Path, content: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
    """The objects of an object with a list of them, or of lists, or of images, or of columns."""
    lists = {key: value for key, value in content.items() if are_objects(value)}
    if any("caption" in one for one in lists.get("annotations", ())[:1]):
        raise UserError(
            f"{path}: captions and no categories, so it names no classes; COCO's labels are in "
            "instances_train2017.json and instances_val2017.json, beside it"
        )
    if "annotations" in lists:
        return _joined(lists["annotations"], lists.get("images", ()))
    if len(lists) > 1 and lists.keys() <= SPLIT_NAMES:
        return [{**one, "split": split} for split, images in lists.items() for one in images]
    if len(lists) == 1:
        return next(iter(lists.values()))
    if all(map(_are_images, content.values())):
        return _by_image(content)
    if all(map(is_image_name, content)):
        return [
            {"image": name, **(said if isinstance(said, dict) else {"labels": said})} for name, said in content.items()
        ]
    inner = [value for value in content.values() if isinstance(value, dict)]
    if not lists and len(inner) == 1:
        return _found(path, inner[0])
    return _of_columns(content)


def _of_columns(content: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of columns, as pandas writes them: lists, or objects with the same keys."""
    columns = [list(value.values()) if isinstance(value, dict) else value for value in content.values()]
    keys = {tuple(value) for value in content.values() if isinstance(value, dict)}
    if not has_images([key.removesuffix("s") for key in content], _DEFAULTS):
        return None
    if not all(isinstance(column, list) for column in columns) or len(keys) > 1:
        return None
    if len({len(column) for column in columns}) > 1:
        return None
    return [dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True)]


def _with_names(path: Path, objects: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The same with names for places among the classes."""
    for number, one in enumerate(objects, start=1):
        named = dict(one)
        for key in (key for key in one if folded(key) in _OF_CLASSES):
            places = one[key] if isinstance(one[key], list) else [one[key]]
            if not all(isinstance(place, int) for place in places):
                continue
            odd = next((place for place in places if not 0 <= place < len(classes)), None)
            if odd is not None:
                raise UserError(f"{path}, row {number}: {key} {odd!r} is none of the {len(classes)} classes")
            named[key] = [classes[place] for place in places]
        yield named


def _are_images(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and is_image_name(one) for one in value)


def _by_image(images: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The classes of each image, where a class lists its images."""
    classes: dict[str, list[str]] = {}
    for class_name, names in images.items():
        for name in dict.fromkeys(names):
            classes.setdefault(name, []).append(class_name)
    return [{"image": name, "labels": labels} for name, labels in classes.items()]


def are_objects(content: Any) -> TypeGuard[list[dict[str, Any]]]:
    """Whether this is a list of objects, and of at least one."""
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


def with_class_names(record: dict[str, Any]) -> dict[str, Any]:
    """The same with names for the numbers of classes, as SageMaker explains them beside (`JOB`, `JOB-metadata`)."""
    about = {key.removesuffix(_ABOUT): value for key, value in record.items() if key.endswith(_ABOUT)}
    named = {key: value for key, value in record.items() if key.removesuffix(_ABOUT) not in about or key in about}
    for job, said in about.items():
        if not isinstance(said, dict) or job not in record:
            continue
        value, names = record[job], said.get("class-map")
        if isinstance(names, dict):
            boxes = value.get("annotations", []) if isinstance(value, dict) else value
            boxes = boxes if isinstance(boxes, list) else [boxes]
            numbers = [one.get("class_id") if isinstance(one, dict) else one for one in boxes]
            named[job] = [names.get(str(number), str(number)) for number in numbers]
        elif said.get("class-name", job) != job:  # else the value says whether it is there
            named[job] = said["class-name"]
    return named
