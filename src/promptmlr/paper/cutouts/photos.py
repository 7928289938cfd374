"""Photographs with outlined objects and a licence, from a COCO folder."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.coco import coco_splits, image_folders
from promptmlr.data.images import ImageFile
from promptmlr.data.rows import read_json
from promptmlr.errors import UserError

__all__ = ["Outline", "Photo", "read_photos"]

_FORBIDDING = re.compile(r"no-?\s?deriv|non-?\s?commercial|(?<![a-z])n[cd](?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Outline:
    """An annotated object.

    Attributes:
        class_name: with spaces.
        box: left, top, right, bottom in pixels.
        polygons: (x, y, x, y, …) each; none of a crowd, or where the file has no outline as polygons.
    """

    class_name: str
    box: tuple[float, float, float, float]
    polygons: tuple[tuple[float, ...], ...]

    def mask(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """(H, W) where the object is, or its box, in a photograph of width and height `size`."""
        canvas = Image.new("1", size)
        left, top, right, bottom = self.box
        for polygon in self.polygons or [(left, top, right, top, right, bottom, left, bottom)]:
            ImageDraw.Draw(canvas).polygon(polygon, fill=1)
        return np.asarray(canvas)


@dataclass(frozen=True)
class Photo:
    """A photograph, all its annotated objects, and where it is from."""

    image: ImageFile
    objects: tuple[Outline, ...]
    licence: str
    url: str

    @property
    def permits(self) -> bool:
        """Whether its licence lets anybody change it and pass the result on; one without a licence is its owner's."""
        return not _FORBIDDING.search(self.licence)


def read_photos(folder: Path) -> list[Photo]:
    """The photographs of all `instances_*.json` of a COCO folder, by the names of their files.

    Raises:
        UserError: it is no such folder, a file is damaged, or an image is missing.
    """
    splits = coco_splits(folder) if folder.is_dir() else []
    if not splits:
        raise UserError(f"{folder} is no COCO folder: no annotations/instances_*.json in it")
    found: dict[str, Photo] = {}
    for split in splits:
        source = folder / "annotations" / f"instances_{split}.json"
        try:
            photos = list(_photos(read_json(source), source, split))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{source}: not a COCO instances file: {error!r}") from error
        for photo in photos:
            path = photo.image.path
            if path.stem in found:
                raise UserError(f"{source}: {path.name} and {found[path.stem].image.name} have one name; rename one")
            found[path.stem] = photo
    return [found[name] for name in sorted(found)]


def _photos(content: Any, source: Path, split: str) -> Iterator[Photo]:
    names = {category["id"]: str(category["name"]).replace("_", " ") for category in content["categories"]}
    licences = {one["id"]: _licence(one) for one in content.get("licenses") or ()}
    objects: dict[Any, list[Outline]] = {image["id"]: [] for image in content["images"]}
    for entry in content["annotations"]:
        objects[entry["image_id"]].append(_outline(entry, names))
    folders = image_folders(source, split)
    for image in content["images"]:
        name = str(image["file_name"])
        folder = next((one for one in folders if ImageFile(one / name).exists()), folders[0])
        file = ImageFinder(folder).find(name, f"{source}, image {image['id']}")
        if not file.exists():
            raise UserError(f"{source}, image {image['id']}: no file {file.name}")
        url = str(image.get("flickr_url") or image.get("coco_url") or "")
        yield Photo(file, tuple(objects[image["id"]]), licences.get(image.get("license"), ""), url)


def _licence(entry: Mapping[str, Any]) -> str:
    return " ".join(str(entry[key]) for key in ("name", "url") if entry.get(key))


def _outline(entry: Mapping[str, Any], names: Mapping[Any, str]) -> Outline:
    left, top, width, height = (float(number) for number in entry["bbox"])
    parts: Any = entry.get("segmentation")
    drawn = isinstance(parts, list) and not entry.get("iscrowd")
    polygons = tuple(tuple(map(float, part)) for part in parts if len(part) >= 6) if drawn else ()
    return Outline(names[entry["category_id"]], (left, top, left + width, top + height), polygons)
