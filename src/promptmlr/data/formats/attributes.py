"""Attributes of animals: Animals with Attributes 2, by class, and CUB-200-2011, by image.

AWA2 says of each class what it has: `predicate-matrix-binary.txt` has a line per class of `classes.txt` and a 1 or 0
per attribute of `predicates.txt`; images are in a folder per class (Xian et al., "Zero-Shot Learning", PAMI 2018).
CUB's `attributes/image_attribute_labels.txt` has lines `image attribute 1-or-0 certainty seconds`; certainty 1 of
`certainties.txt` is "not visible", and so unknown (Wah et al., "The Caltech-UCSD Birds-200-2011 Dataset", 2011).
"""

from pathlib import Path

import numpy as np

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import Format
from promptmlr.data.images import ImageFile, find_images
from promptmlr.data.options import DataOptions
from promptmlr.data.rows import LabelledRows, check_rows, read_lines
from promptmlr.errors import UserError
from promptmlr.labels import UNKNOWN, Labels
from promptmlr.names import checked_class_names, shown

__all__ = ["FORMAT", "read_attributes"]

_MATRIX, _LABELS = "predicate-matrix-binary.txt", "attributes/image_attribute_labels.txt"
_NOT_VISIBLE = "1"


def read_attributes(path: Path, images: Path | None, _options: DataOptions) -> LabelledRows:
    """Read the attributes of all images.

    Args:
        path: the folder with `predicate-matrix-binary.txt`, or with `images.txt` and `attributes`.
        images: the folder of the images, by default `JPEGImages` or `images` in it.

    Raises:
        UserError: a file is missing or damaged.
    """
    return (_of_classes if (path / _MATRIX).is_file() else _of_images)(path, images)


def _of_classes(path: Path, images: Path | None) -> LabelledRows:
    classes, names = _numbered(path / "classes.txt"), _numbered(path / "predicates.txt")
    rows = [line.split() for line in read_lines(path / _MATRIX)]
    if [len(row) for row in rows] != [len(names)] * len(classes) or not {cell for row in rows for cell in row} <= {
        "0",
        "1",
    }:
        raise UserError(
            f"{path / _MATRIX}: no matrix of 0 and 1 for {len(classes)} classes and {len(names)} predicates"
        )
    known = dict(zip(classes.values(), np.array(rows, dtype=np.int8), strict=True))
    root = images or path / "JPEGImages"
    files = list(find_images([root]))
    odd = next((file for file in files if file.parent.name not in known), None)
    if odd is not None:
        raise UserError(f"{odd}: its folder {odd.parent.name!r} is no class of {path / 'classes.txt'}")
    return LabelledRows(
        [shown(file.relative_to(root).as_posix()) for file in files],
        [ImageFile(file) for file in files],
        np.array([known[file.parent.name] for file in files], dtype=np.int8).reshape(len(files), len(names)),
        checked_class_names(names.values(), str(path / "predicates.txt")),
        None,
        "AWA2",
        path,
        lambda row: str(files[row]),
        "no splits",
        ("attributes are those of the animal, whatever an image shows of it",),
    )


def _of_images(path: Path, images: Path | None) -> LabelledRows:
    listed = _numbered(path / "images.txt")
    place = next(
        (one for one in (path / "attributes/attributes.txt", path.parent / "attributes.txt") if one.is_file()), None
    )
    if place is None:
        raise UserError(f"{path}: no attributes/attributes.txt in it, nor attributes.txt beside it; unpack it again")
    names = _numbered(place)
    split = _numbered(path / "train_test_split.txt") if (path / "train_test_split.txt").is_file() else None
    image_ids = list(listed.values())

    def where(row: int) -> str:
        return f"{path / 'images.txt'}, line {row + 1}"

    check_rows(path, image_ids, where)
    finder = ImageFinder(images or path / "images")
    return LabelledRows(
        image_ids,
        [finder.find(image_id, where(row)) for row, image_id in enumerate(image_ids)],
        _labels(path / _LABELS, list(listed), list(names)),
        checked_class_names([name.replace("::", " ") for name in names.values()], str(place)),
        None if split is None else ["train" if split.get(number) == "1" else "test" for number in listed],
        "CUB",
        path,
        where,
        "no train_test_split.txt",
        ("attributes that are not visible are unknown",),
    )


def _labels(file: Path, images: list[str], attributes: list[str]) -> Labels:
    rows, columns = ({number: place for place, number in enumerate(some)} for some in (images, attributes))
    labels = np.full((len(rows), len(columns)), UNKNOWN, dtype=np.int8)
    for number, line in enumerate(read_lines(file), start=1):
        cells = line.split()
        if len(cells) < 4 or cells[0] not in rows or cells[1] not in columns or cells[2] not in ("0", "1"):
            raise UserError(f"{file}, line {number}: {line!r} is no image, attribute, 1 or 0, and certainty")
        if cells[3] != _NOT_VISIBLE:
            labels[rows[cells[0]], columns[cells[1]]] = int(cells[2])
    return labels


def _numbered(file: Path) -> dict[str, str]:
    """Number → name, of lines `number name`."""
    found = dict(line.split(maxsplit=1) for line in read_lines(file) if len(line.split(maxsplit=1)) == 2)
    if not found:
        raise UserError(f"{file}: no lines of a number and a name; unpack it again")
    return found


FORMAT = Format(
    "attributes",
    "AWA2 or CUB-200: a folder with predicate-matrix-binary.txt, or attributes/image_attribute_labels.txt",
    lambda source: (source.path / _MATRIX).is_file() or (source.path / _LABELS).is_file(),
    read_attributes,
    says_all=True,
)
