"""PASCAL VOC: a devkit folder with `JPEGImages`, `Annotations` and `ImageSets/Main`."""

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from promptmlr.data.formats.base import BySplit, Format
from promptmlr.data.images import ImageFile
from promptmlr.data.labelled import LabelledImages, require_files
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.errors import UserError, nearest
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels

__all__ = ["FORMAT", "VOC_CLASS_NAMES", "default_splits", "find_devkit", "read_voc"]

# As the devkit and the released code write them, without spaces.
VOC_CLASS_NAMES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
_COLUMNS = {name: column for column, name in enumerate(VOC_CLASS_NAMES)}
_LISTS = Path("ImageSets", "Main")


def find_devkit(folder: Path) -> Path | None:
    """The folder of one year in `folder`: itself, VOC* in it, or VOCdevkit/VOC* in it; None if there is none.

    Raises:
        UserError: there are several years, or one with images and no lists.
    """
    places = [folder, *sorted(folder.glob("VOC20*")), *sorted(folder.glob("VOCdevkit/VOC20*"))]
    found = [p for p in places if (p / "JPEGImages").is_dir() and (p / _LISTS).is_dir()]
    if len(found) > 1:
        raise UserError(f"{folder} holds {' and '.join(map(str, found))}; name one of them")
    without_lists = next(
        (
            place
            for place in places
            if (place / "JPEGImages").is_dir() and (place / "Annotations").is_dir() and place not in found
        ),
        None,
    )
    if without_lists is not None and not found:
        raise UserError(f"{without_lists} has JPEGImages but no {_LISTS}; is the VOC devkit unpacked as a whole?")
    return found[0] if found else None


def read_voc(
    path: Path, split: str | None, purpose: Purpose, images: Path | None, options: DataOptions
) -> LabelledImages:
    """Read one image list of a VOC devkit.

    Objects marked difficult do not count; `options.difficult` says what a class with no others is.

    Args:
        path: as `find_devkit` takes it.
        split: a list in `ImageSets/Main`; by default trainval for "train" and test for "test", or train and val where
            the test images have no public annotations.
        purpose: chooses the list.
        images: another folder for `JPEGImages`.
        options: `difficult`.

    Raises:
        UserError: no devkit; a list, an annotation or an image is missing or damaged; an unknown class.
    """
    root = find_devkit(path)
    if root is None:
        raise UserError(f"{path} is no VOC devkit: no JPEGImages and ImageSets/Main in it")
    split, notes = (split, []) if split is not None else _default_split(root, purpose)
    image_ids = _image_list(root, split)
    files = [ImageFile((images or root / "JPEGImages") / f"{image_id}.jpg") for image_id in image_ids]
    if not options.skip_unreadable:
        require_files(files, lambda _: f"{root / _LISTS / split}.txt")
    labels = np.stack([_labels(root / "Annotations" / f"{image_id}.xml") for image_id in image_ids])
    lone = labels == UNKNOWN
    meaning = "unknown"
    if options.difficult != "unknown":
        labels[lone], meaning = ABSENT, "absent, as in the released code"
    notes.append(f"{np.count_nonzero(lone)} labels rest on difficult objects alone: {meaning}")
    return LabelledImages.from_rows(image_ids, files, labels, VOC_CLASS_NAMES, f"VOC {root}, split {split}", notes)


def default_splits(path: Path) -> list[str]:
    """The lists that are read to train and to test, as `read_voc` takes them."""
    root = find_devkit(path)
    return [] if root is None else [_default_split(root, purpose)[0] for purpose in ("train", "test")]


def _default_split(root: Path, purpose: Purpose) -> tuple[str, list[str]]:
    listed = _image_list(root, "test") if (root / _LISTS / "test.txt").is_file() else []
    annotations = [root / "Annotations" / f"{image_id}.xml" for image_id in listed]
    missing = [path for path in annotations if not path.is_file()]
    if len(missing) < len(annotations):
        if missing:
            raise UserError(f"no annotation {missing[0]} ({len(missing)} of {len(listed)} of test); unpack it again")
        return {"train": "trainval", "test": "test"}[purpose], []
    split = {"train": "train", "test": "val"}[purpose]
    return split, [f"no annotations of the test images here: {split} is used, so that val can be the test"]


def _image_list(root: Path, split: str) -> list[str]:
    path = root / _LISTS / f"{split}.txt"
    if not path.is_file():
        # Lists like cat_train.txt are for one class.
        known = sorted(p.stem for p in path.parent.glob("*.txt") if "_" not in p.stem)
        raise UserError(f"no split {split!r} in {path.parent}; {nearest(split, known)}")
    try:
        image_ids = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file; unpack the devkit again") from error
    if not image_ids:
        raise UserError(f"{path}: the image list is empty; unpack the devkit again")
    first_rows: dict[str, int] = {}
    for row, image_id in enumerate(image_ids, start=1):
        if first_rows.setdefault(image_id, row) != row:
            raise UserError(f"{path}, row {row}: image {image_id} is in row {first_rows[image_id]} already")
    return image_ids


def _labels(path: Path) -> Labels:
    """The labels of one annotation, (C,) int8: unknown where all objects of a class are difficult."""
    try:
        root = ET.parse(path).getroot()
    except FileNotFoundError:
        raise UserError(f"no annotation {path}; unpack the devkit again") from None
    except (ET.ParseError, LookupError, OSError, ValueError) as error:
        raise UserError(f"{path}: damaged XML ({error}); unpack the devkit again") from error
    if root.tag != "annotation":
        raise UserError(f"{path}: its outermost tag is {root.tag!r}, not 'annotation'; unpack the devkit again")
    labels = np.full(len(VOC_CLASS_NAMES), ABSENT, dtype=np.int8)
    for entry in root.findall("object"):
        name = entry.findtext("name", "").strip().lower()
        if name not in _COLUMNS:
            raise UserError(f"{path}: {name!r} is none of the 20 VOC classes; write your own classes as a CSV")
        column = _COLUMNS[name]
        if entry.findtext("difficult", "0").strip() != "1":
            labels[column] = PRESENT
        elif labels[column] == ABSENT:
            labels[column] = UNKNOWN
    return labels


FORMAT = Format(
    "voc",
    "PASCAL VOC's devkit: a folder with JPEGImages, Annotations and ImageSets/Main",
    lambda source: (root := find_devkit(source.path)) is not None and (root / "Annotations").is_dir(),
    BySplit(read_voc, default_splits),
    says_all=True,
)
