"""A folder per class with its images, as for single-label classification: `train/cat/1.jpg`, `images/old city/a.jpg`.

The folder that an image lies in is the one class which is known of it; folders train, val and test above are splits.
"""

from collections.abc import Iterator
from pathlib import Path

from promptmlr.data.formats.base import Format
from promptmlr.data.images import ImageFile, find_images
from promptmlr.data.options import DataOptions
from promptmlr.data.rows import LabelledRows, ListedRows, Names, usual_split
from promptmlr.errors import UserError
from promptmlr.names import shown

__all__ = ["FORMAT", "read_class_folders"]

_PLAIN = ("images", "image", "img", "data", "photos", "jpegimages")  # folders that are neither class nor split
_LOOKED_AT = 200  # images, when it is asked whether a folder is one of these


def read_class_folders(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read the images of all folders.

    Args:
        path: the folder above those of classes, or of splits.
        images: must be None: the folders of the images are their labels.
        options: `unlisted`.

    Raises:
        UserError: an image lies in no folder of a class, or silence is unclear.
    """
    if images is not None:
        raise UserError(f"{path}: its folders are the labels of the images in them; leave out --images {images}")
    files = list(find_images([path]))
    placed = [_place(path, file) for file in files]
    lone = next((file for file, place in zip(files, placed, strict=True) if place is None), None)
    if lone is not None:
        raise UserError(f"{lone}: in no folder of a class, as the other images of {path} are; move it into one")
    splits, names = zip(*[place for place in placed if place is not None], strict=True)
    return ListedRows(
        [Names([name]) for name in names],
        [shown(file.relative_to(path).as_posix()) for file in files],
        [ImageFile(file) for file in files],
        splits=None if None in splits else [str(split) for split in splits],
        kind="folders of classes",
        path=path,
        where=lambda row: str(files[row]),
        without_splits="no folders train, val or test",
    ).labelled(options)


def _place(root: Path, image: Path) -> tuple[str | None, str] | None:
    """The split, if any, and the class of an image; None where it lies in no folder of a class."""
    folders = [name for name in image.relative_to(root).parts[:-1] if name.lower() not in _PLAIN]
    split = folders.pop(0) if folders and usual_split(folders[0]) else None
    return (split, folders[-1]) if folders else None


def _recognised(folder: Path) -> bool:
    if not folder.is_dir() or any(one.is_file() and one.suffix.lower() in (".txt", ".xml") for one in folder.iterdir()):
        return False
    try:
        places = [_place(folder, image) for image in _first(find_images([folder]))]
    except UserError:
        return False
    return bool(places) and None not in places and len({place[1] for place in places if place}) > 1


def _first(images: Iterator[Path]) -> list[Path]:
    return [image for image, _ in zip(images, range(_LOOKED_AT), strict=False)]


FORMAT = Format(
    "class-folders",
    "a folder of images per class",
    lambda source: _recognised(source.path),
    read_class_folders,
    weak=True,
)
