"""Datumaro's JSON: a folder with `annotations/SUBSET.json`, or one such file.

Annotations of any type that carry a `label_id` say that this class is present (the format is described at
https://docs.cvat.ai/docs/dataset_management/formats/format-datumaro). There is no place for absent labels:
`--unlisted` says what silence means.
"""

import json
from pathlib import Path
from typing import Any

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import Format, Source, Writer
from promptmlr.data.options import DataOptions
from promptmlr.data.output import Output
from promptmlr.data.rows import LabelledRows, ListedRows, Names, malformed_refused, read_json
from promptmlr.errors import UserError
from promptmlr.labels import PRESENT

__all__ = ["FORMAT", "read_datumaro", "write_datumaro"]

_SUBSET = "default"  # of data without splits, as CVAT calls it
_KEYS = ("categories", "items", "annotations")


def read_datumaro(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read the items of all subsets, or of one file.

    Args:
        path: the folder above `annotations`, or a file.
        images: the folder of the images, by default `path` or the one above the file's; found anywhere below it.
        options: `unlisted`.

    Raises:
        UserError: a file is missing, damaged or something else; subsets have other classes; silence is unclear.
    """
    files = [path] if path.is_file() else _files(path)
    if not files:
        raise UserError(f"{path}: no annotations/SUBSET.json of Datumaro in it")
    items: list[tuple[str, list[str], Names, str, str]] = []
    classes: list[str] = []
    for file in files:
        with malformed_refused(file, "Datumaro"):
            content = read_json(file)
            names = [str(label["name"]) for label in content["categories"]["label"]["labels"]]
            if classes and names != classes:
                raise UserError(f"{file}: other classes than in {files[0].name}; read one file at a time")
            classes = names
            items += [_item(item, classes, file) for item in content["items"]]
    alone = [file.stem for file in files] == [_SUBSET]
    finder = ImageFinder(images or (path.parent.parent if path.is_file() else path))
    return ListedRows(
        [names for _, _, names, _, _ in items],
        [item_id for item_id, *_ in items],
        [finder.find(item_id, where, *paths) for item_id, paths, _, _, where in items],
        splits=None if path.is_file() or alone else [subset for _, _, _, subset, _ in items],
        kind="Datumaro",
        path=path,
        where=lambda row: items[row][4],
        class_names=classes,
        without_splits="one subset",
    ).labelled(options)


def write_datumaro(output: Output) -> list[str]:
    """Write a file per split, with an annotation of the type `label` for each present class."""
    columns = {name: column for column, name in enumerate(output.class_names)}
    categories = {"label": {"labels": [{"name": name, "parent": "", "attributes": []} for name in columns]}}
    for split, entries in output.splits().items():
        items = [
            {
                "id": Path(entry.name).stem,
                "annotations": [
                    {"id": n, "type": "label", "attributes": {}, "group": 0, "label_id": columns[name]}
                    for n, name in enumerate(output.names(entry.labels, PRESENT))
                ],
                "image": {"path": Path(entry.name).name},
            }
            for entry in entries
        ]
        with output.file(f"annotations/{split or _SUBSET}.json") as file:
            json.dump({"info": {}, "categories": categories, "items": items}, file, ensure_ascii=False)
            file.write("\n")
    return []


def _item(item: dict[str, Any], classes: list[str], file: Path) -> tuple[str, list[str], Names, str, str]:
    """Its id, what its file may be called, labels, subset, and place for messages."""
    where = f"{file}, item {item['id']!r}"
    numbers = [one["label_id"] for one in item["annotations"] if one.get("label_id") is not None]
    odd = next((number for number in numbers if not 0 <= number < len(classes)), None)
    if odd is not None:
        raise UserError(f"{where}: label {odd} of {len(classes)}, which count from 0")
    media = [item.get(key) for key in ("image", "media")]
    paths = [str(one["path"]) for one in media if isinstance(one, dict) and "path" in one]
    return str(item["id"]), paths, Names([classes[number] for number in numbers]), file.stem, where


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.glob("annotations/*.json")) if _is_one(Source(str(file)))]


def _is_one(source: Source) -> bool:
    return source.mentions(*_KEYS) and not source.mentions("images")


FORMAT = Format(
    "datumaro",
    "Datumaro's annotations/SUBSET.json, or the folder above",
    lambda source: _is_one(source) or (source.path.is_dir() and bool(_files(source.path))),
    read_datumaro,
    writer=Writer(write_datumaro, None, lambda split: f"images/{split or _SUBSET}", lists=True),
)
