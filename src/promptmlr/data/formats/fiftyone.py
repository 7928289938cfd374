"""FiftyOne's JSON, without FiftyOne: `labels.json` of an image classification export, or `samples.json` of a whole one.

`labels.json` is `{"classes": […] or null, "labels": {name without suffix: target, a list of targets, or null}}`, a
target being a number of a class, a name, or `{"label": …}`; images are in `data/`, or named by `data.json`.
`samples.json` is
`{"samples": [{"filepath": …, "tags": […], FIELD: {"_cls": "Classifications", "classifications": [{"label": …}]}}]}`.
Every folder with such a file is a split; so are tags train, validation and test. An image without a label field is
not labelled.
"""

import json
from pathlib import Path
from typing import Any

from promptmlr.data.formats.base import Changes, Format, Source, Writer, as_json, present, spaced
from promptmlr.data.images import ImageFile
from promptmlr.data.options import DataOptions
from promptmlr.data.output import Output
from promptmlr.data.rows import LabelledRows, ListedRows, Names, malformed_refused, read_json, usual_split
from promptmlr.errors import UserError
from promptmlr.labels import PRESENT
from promptmlr.names import first_names

__all__ = ["FORMAT", "has_fiftyone", "is_fiftyone", "read_fiftyone_rows", "write_fiftyone"]

_FILES = ("labels.json", "samples.json")
_Row = tuple[str, ImageFile, Names, str | None, str]  # name, image, labels, split by a tag, place for messages
_FIELDS = ("ground_truth", "labels", "classifications")


def is_fiftyone(content: object) -> bool:
    """Whether parsed JSON is one of the two files."""
    return isinstance(content, dict) and (
        ("labels" in content and "classes" in content and isinstance(content["labels"], dict)) or "samples" in content
    )


def has_fiftyone(folder: Path) -> bool:
    """Whether a folder holds an export, or one in a folder per split."""
    return bool(_exports(folder))


def read_fiftyone_rows(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read an export.

    Args:
        path: its folder, or a `labels.json` or `samples.json`.
        images: the folder of the images, by default `data` beside the file.
        options: `unlisted`.

    Raises:
        UserError: a file is missing, damaged or something else; or silence is unclear.
    """
    with malformed_refused(path, "FiftyOne"):
        return _read(path, images, options)


def _read(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    exports = {None: path} if path.is_file() else _exports(path)
    if not exports:
        raise UserError(f"{path}: no {' or '.join(_FILES)} in it, nor in folders of splits")
    root = path.parent if path.is_file() else path
    found: list[_Row] = []
    classes: list[str] | None = []
    for split, file in exports.items():
        content = read_json(file)
        if not is_fiftyone(content):
            raise UserError(f"{file}: neither FiftyOne's labels.json nor its samples.json")
        if "samples" in content:
            rows, names = _samples(content, file, images), content.get("classes")
        else:
            rows, names = _labels(content, file, images), content["classes"]
        found += [(name, image, one, split or tag, where) for name, image, one, tag, where in rows]
        classes = None if classes is None or not names else [*classes, *(n for n in names if n not in classes)]
    splits = [split for _, _, _, split, _ in found]
    return ListedRows(
        [one for _, _, one, _, _ in found],
        [
            image.path.relative_to(root).as_posix() if image.path.is_relative_to(root) else name
            for name, image, *_ in found
        ],
        [image for _, image, *_ in found],
        splits=None if None in splits else [str(split) for split in splits],
        kind="FiftyOne",
        path=path,
        where=lambda i: found[i][4],
        class_names=classes or None,
        without_splits="no folders or tags train, validation or test",
    ).labelled(options)


def write_fiftyone(output: Output) -> list[str]:
    """Write an image classification export: `labels.json`, targets as numbers of classes."""
    columns = {name: column for column, name in enumerate(output.class_names)}
    for split, entries in output.splits().items():
        labels = {
            Path(entry.name).stem: [columns[name] for name in output.names(entry.labels, PRESENT)] for entry in entries
        }
        with output.file(f"{split}/labels.json" if split else "labels.json") as file:
            json.dump({"classes": list(output.class_names), "labels": labels}, file, ensure_ascii=False)
            file.write("\n")
    return []


def amend_fiftyone(path: Path, changes: Changes, _options: DataOptions) -> bytes:
    """The same file with a classification for each class that is present, and none for one that is not."""
    content = read_json(path)
    if "samples" in content:
        field = _field(content["samples"], path)
        for sample, changed in zip(content["samples"], changes, strict=True):
            if changed:
                held = sample.get(field)
                each = [] if held is None else [held] if held["_cls"] == "Classification" else held["classifications"]
                kept = [one for one in each if spaced(one["label"]) not in changed]
                added = [{"_cls": "Classification", "tags": [], "label": name} for name in present(changed)]
                sample[field] = {"_cls": "Classifications", "classifications": [*kept, *added]}
        return as_json(path, content)
    classes = content["classes"]
    named = any(isinstance(one, str | dict) for one in _targets(content))
    numbers = {} if named else {spaced(name): number for number, name in enumerate(classes or ())}
    written = {spaced(name): name for name in classes or ()}
    for (name, targets), changed in zip(content["labels"].items(), changes, strict=True):
        if changed:
            each = targets if isinstance(targets, list) else [] if targets is None else [targets]
            kept = [one for one in each if spaced(_name(one, classes, str(path))) not in changed]
            content["labels"][name] = [*kept, *(numbers.get(one, written.get(one, one)) for one in present(changed))]
    return as_json(path, content)


def _targets(content: dict[str, Any]) -> list[Any]:
    """All targets of a `labels.json`."""
    return [one for some in content["labels"].values() for one in (some if isinstance(some, list) else [some])]


def _exports(folder: Path) -> dict[str | None, Path]:
    for name in _FILES:
        if (folder / name).is_file() and is_fiftyone(read_json(folder / name)):
            return {None: folder / name}
    if not folder.is_dir():
        return {}
    found: dict[str | None, Path] = {}
    for inner in sorted(folder.iterdir()):
        if inner.is_dir():
            file = next((inner / name for name in _FILES if (inner / name).is_file()), None)
            if file is not None and is_fiftyone(read_json(file)):
                found[inner.name] = file
    return found


def _labels(content: dict[str, Any], file: Path, images: Path | None) -> list[_Row]:
    classes = content["classes"]
    if not (classes is None or (isinstance(classes, list) and all(isinstance(name, str) for name in classes))):
        raise UserError(f"{file}: its classes must be a list of names, or null")
    places = _places(file, images)
    rows: list[_Row] = []
    for name, targets in content["labels"].items():
        where = f"{file}, image {name!r}"
        image = ImageFile(places.get(name, (images or file.parent / "data") / name))
        if targets is None:
            rows.append((name, image, Names((), looked=False), None, where))
            continue
        each = targets if isinstance(targets, list) else [targets]
        rows.append((name, image, Names([_name(target, classes, where) for target in each]), None, where))
    return rows


def _places(file: Path, images: Path | None) -> dict[str, Path]:
    """Images by their name without suffix, which is how `labels.json` knows them."""
    manifest = file.parent / "data.json"
    if images is None and manifest.is_file():
        content = read_json(manifest)
        if not isinstance(content, dict):
            raise UserError(f"{manifest}: not an object of names and paths")
        return {str(name): file.parent / str(place) for name, place in content.items()}
    folder = images or file.parent / "data"
    if not folder.is_dir():
        return {}
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _name(target: Any, classes: list[str] | None, where: str) -> str:
    if isinstance(target, dict):
        target = target.get("label")
    if isinstance(target, str):
        return target
    if isinstance(target, bool) or not isinstance(target, int):
        raise UserError(f"{where}: {target!r} is neither a name nor the number of a class")
    if classes is None or not 0 <= target < len(classes):
        raise UserError(f"{where}: class {target} of {len(classes or [])} in the list of classes, which counts from 0")
    return classes[target]


def _samples(content: dict[str, Any], file: Path, images: Path | None) -> list[_Row]:
    samples = content["samples"]
    if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
        raise UserError(f"{file}: its samples must be a list of objects")
    field = _field(samples, file)
    rows = []
    for number, sample in enumerate(samples, start=1):
        where = f"{file}, sample {number}"
        place = Path(str(sample.get("filepath", "")))
        if not place.name:
            raise UserError(f"{where}: no filepath")
        image = ImageFile(images / place.name if images else file.parent / place)
        value = sample.get(field)
        found = None if value is None else [value] if value["_cls"] == "Classification" else value["classifications"]
        names = Names((), looked=False) if found is None else Names([_name(one, None, where) for one in found])
        tags = [tag for tag in sample.get("tags") or [] if isinstance(tag, str) and usual_split(tag)]
        rows.append((place.name, image, names, tags[0] if len(tags) == 1 else None, where))
    return rows


def _field(samples: list[dict[str, Any]], file: Path) -> str:
    """The one field of labels."""
    found = sorted(
        {
            name
            for sample in samples
            for name, value in sample.items()
            if isinstance(value, dict) and value.get("_cls") in ("Classification", "Classifications")
        }
    )
    if len(found) == 1:
        return found[0]
    usual = [name for name in _FIELDS if name in found]
    if not usual:
        what = f"several fields of classifications: {first_names(found)}" if found else "no field of classifications"
        raise UserError(f"{file}: {what}; export the one that holds the labels, named ground_truth")
    return usual[0]


def _is_one(source: Source) -> bool:
    return (source.mentions("samples") or source.mentions("labels", "classes")) and is_fiftyone(source.content)


FORMAT = Format(
    "fiftyone",
    "FiftyOne's labels.json or samples.json, or a folder with one",
    lambda source: has_fiftyone(source.path) or _is_one(source),
    read_fiftyone_rows,
    amend=amend_fiftyone,
    writer=Writer(write_fiftyone, None, lambda split: f"{split}/data" if split else "data", lists=True),
)
