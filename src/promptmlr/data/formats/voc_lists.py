"""The class files of PASCAL VOC without its annotations: `ImageSets/Main/CLASS_SPLIT.txt`.

A line is an image and 1 (an object of the class), -1 (none) or 0 (only objects marked difficult), as the documentation
of the development kit says. Any class names are read, not VOC's alone.
"""

import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import BySplit, Format, Source
from promptmlr.data.labelled import LabelledImages
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.data.rows import LabelledRows, check_rows, read_lines
from promptmlr.errors import UserError, nearest
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN
from promptmlr.names import checked_class_names

__all__ = ["FORMAT", "read_voc_lists"]

_FILE = re.compile(r"(.+)_(trainval|train|val|test)\.txt")
_CODES = {"1": PRESENT, "-1": ABSENT, "0": UNKNOWN}
_BY_PURPOSE = {"train": ("trainval", "train"), "test": ("test", "val")}


def read_voc_lists(
    path: Path, split: str | None, purpose: Purpose, images: Path | None, options: DataOptions
) -> LabelledImages:
    """Read the class files of one split.

    Args:
        path: the folder of the class files, or a devkit without `Annotations`.
        split: train, val, trainval or test; by default trainval (or train) for "train", test (or val) for "test".
        purpose: chooses the split.
        images: the folder of the images, by default `JPEGImages` of the devkit.
        options: `difficult`.

    Raises:
        UserError: a file is missing or damaged, or the files list different images.
    """
    folder = _folder(path)
    files = {} if folder is None else _files(folder)
    if folder is None or not files:
        raise UserError(f"{path}: no CLASS_trainval.txt or such in it, nor in ImageSets/Main")
    chosen = split or next((name for name in _BY_PURPOSE[purpose] if name in files), purpose)
    if chosen not in files:
        raise UserError(f"{folder}: no class files of split {chosen!r}; {nearest(chosen, files)}")
    columns = {name: _column(file) for name, file in files[chosen].items()}
    first = next(iter(columns))
    image_ids = list(columns[first])
    for name, column in columns.items():
        if list(column) != image_ids:
            raise UserError(
                f"{files[chosen][name]} lists other images than {files[chosen][first].name}; unpack them again"
            )
    labels = np.array([list(column.values()) for column in columns.values()], dtype=np.int8).T
    lone, meaning = labels == UNKNOWN, "unknown"
    if options.difficult != "unknown":
        labels[lone], meaning = ABSENT, "absent, as in the released code"
    where = f"{folder}/*_{chosen}.txt, image "
    check_rows(folder, image_ids, lambda row: where + image_ids[row])
    finder = ImageFinder(images or folder.parent.parent / "JPEGImages")
    return LabelledRows(
        image_ids,
        [finder.find(image_id, where + image_id) for image_id in image_ids],
        labels,
        checked_class_names(columns, str(folder)),
        [chosen] * len(image_ids),
        "VOC class files",
        folder,
        lambda row: where + image_ids[row],
        notes=(f"{np.count_nonzero(lone)} labels rest on difficult objects alone: {meaning}",),
    ).part(chosen, purpose, options)


def _folder(path: Path) -> Path | None:
    inner = Path("ImageSets", "Main")
    devkits = [*sorted(path.glob("VOC20*")), *sorted(path.glob("VOCdevkit/VOC20*"))]
    places = [path, path / inner, *(devkit / inner for devkit in devkits)]
    return next((place for place in places if _files(place)), None)


def _files(folder: Path) -> dict[str, dict[str, Path]]:
    """Split → class → file."""
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for file in sorted(folder.glob("*_*.txt")):
        if match := _FILE.fullmatch(file.name):
            found[match[2]][match[1]] = file
    return found


def _column(file: Path) -> dict[str, int]:
    """Image → label code."""
    found: dict[str, int] = {}
    for number, line in enumerate(read_lines(file), start=1):
        image_id, *value = line.split()
        if len(value) != 1 or value[0] not in _CODES:
            raise UserError(f"{file}, line {number}: {line!r} is no image and one of 1, 0 and -1")
        if image_id in found:
            raise UserError(f"{file}, line {number}: image {image_id} is there already; keep one of them")
        found[image_id] = _CODES[value[0]]
    return found


def splits(path: Path) -> list[str]:
    """The splits that there are class files of, without the union of two others."""
    folder = _folder(path)
    found = {} if folder is None else _files(folder)
    return [name for name in found if name != "trainval" or not {"train", "val"} <= set(found)]


def _recognised(source: Source) -> bool:
    folder = _folder(source.path) if source.path.is_dir() else None
    return folder is not None and not (folder.parent.parent / "Annotations").is_dir()


FORMAT = Format(
    "voc-lists",
    "a folder of CLASS_SPLIT.txt with 1, 0 or -1 for each image, such as VOC's ImageSets/Main",
    _recognised,
    BySplit(read_voc_lists, splits),
    says_all=True,
)
