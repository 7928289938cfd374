"""VGG Image Annotator's regions and attributes: its CSV, its JSON, and its project.

The values of attributes are the classes: texts and radio buttons (`{"type": "dog"}`), and ticked boxes
(`{"type": {"dog": true}}`), of the whole file and of regions (Dutta and Zisserman, "The VIA Annotation Software for
Images, Audio and Video", ACM Multimedia 2019).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import Format, Source
from promptmlr.data.options import DataOptions
from promptmlr.data.rows import LabelledRows, ListedRows, Names, malformed_refused, read_json
from promptmlr.data.table import read_table

__all__ = ["FORMAT", "read_via"]

_COLUMNS = ("filename", "file_attributes", "region_count", "region_attributes")
_PROJECT = "_via_img_metadata"


def read_via(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read an export.

    Args:
        path: the file.
        images: the folder of the images, by default that of the file; found anywhere below it.
        options: `unlisted`.

    Raises:
        UserError: the file is damaged or something else, or silence is unclear.
    """
    with malformed_refused(path, "VIA"):
        named = _of_json(path) if path.suffix.lower() == ".json" else _of_csv(path)
    image_ids = list(named)

    def where(row: int) -> str:
        return f"{path}, image {image_ids[row]!r}"

    finder = ImageFinder(images or path.parent)
    return ListedRows(
        [Names(dict.fromkeys(names)) for names in named.values()],
        image_ids,
        [finder.find(image_id, where(row)) for row, image_id in enumerate(image_ids)],
        splits=None,
        kind="VIA",
        path=path,
        where=where,
        without_splits="no splits",
    ).labelled(options)


def _of_csv(path: Path) -> dict[str, list[str]]:
    table = read_table(path)
    columns = [table.column(table.header.index(name)) for name in ("filename", "file_attributes", "region_attributes")]
    named: dict[str, list[str]] = {}
    for name, *attributes in zip(*columns, strict=True):
        named.setdefault(name, []).extend(value for one in attributes for value in _values(json.loads(one or "{}")))
    return named


def _of_json(path: Path) -> dict[str, list[str]]:
    content = read_json(path)
    named: dict[str, list[str]] = {}
    for image in content.get(_PROJECT, content).values():
        regions = image["regions"].values() if isinstance(image["regions"], dict) else image["regions"]
        attributes = [image.get("file_attributes", {}), *(region["region_attributes"] for region in regions)]
        named.setdefault(image["filename"], []).extend(value for one in attributes for value in _values(one))
    return named


def _values(attributes: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for value in attributes.values():
        found += [name for name, ticked in value.items() if ticked] if isinstance(value, dict) else [str(value)]
    return [clean for name in found if (clean := name.strip())]


def _recognised(source: Source) -> bool:
    if source.suffix == ".json":
        return source.mentions("filename", "regions", "region_attributes") or source.mentions(_PROJECT)
    return set(_COLUMNS) <= set(source.header)


FORMAT = Format("via", "VGG Image Annotator's CSV or JSON", _recognised, read_via)
