"""A folder of images, each with a text file of class names: as image taggers write them, or in YOLO's layout.

The text file of `a.jpg` is `a.txt` or `a.jpg.txt` beside it, or in `labels/` where the image is in `images/`. It
holds one name per line, or several apart by commas (taggers), or YOLO's lines `class x y width height`, of which the
class alone counts. `classes.txt` in the folder, or in `labels/`, lists all classes, one per line. Folders train, val
and test are splits.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from promptmlr.data.formats.base import Format, Writer, by_split
from promptmlr.data.images import ImageFile, find_images
from promptmlr.data.options import DataOptions
from promptmlr.data.output import Output
from promptmlr.data.rows import LabelledRows, ListedRows, Names, read_lines, usual_split
from promptmlr.errors import UserError
from promptmlr.labels import PRESENT
from promptmlr.names import shown

__all__ = ["FORMAT", "has_text_files", "read_text_file_rows", "text_names", "write_text_files"]

_CLASSES = "classes.txt"
_BOX = re.compile(r"(\d+)(\s+-?(\d+\.?|\d*\.\d+)(e-?\d+)?){4,}")  # class x y width height, or the outline of a shape
_ESCAPED = re.compile(r"\\([()])")  # taggers in Danbooru's style: `miku \(vocaloid\)`
_LOOKED_AT = 100  # images, when it is asked whether a folder is one of these


def has_text_files(folder: Path) -> bool:
    """Whether one of the first images in `folder` has a text file."""
    if not folder.is_dir():
        return False
    try:
        images = find_images([folder])
    except UserError:
        return False
    return any(_text_file(folder, image).is_file() for image, _ in zip(images, range(_LOOKED_AT), strict=False))


def read_text_file_rows(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read the images of a folder and the text file of each; an image without one is not labelled at all.

    Args:
        path: the folder.
        images: must be None: images and text files go together.
        options: `unlisted`.

    Raises:
        UserError: there is no image or no text file, one cannot be read or names no class, or silence is unclear.
    """
    if images is not None:
        raise UserError(f"{path}: text files lie beside their images; leave out --images {images}")
    if not path.is_dir():
        raise UserError(f"{path} is no folder of images and text files")
    files = list(find_images([path]))
    texts = [_text_file(path, file) for file in files]
    if not any(text.is_file() for text in texts):
        raise UserError(f"{path}: no image has a text file beside it, or in labels/ where images are in images/")
    classes = _classes(path)
    names = [text_names(text, classes) for text in texts]
    image_ids = [shown(file.relative_to(path).as_posix()) for file in files]
    return ListedRows(
        names,
        image_ids,
        [ImageFile(file) for file in files],
        splits=_splits(image_ids),
        kind="text files",
        path=path,
        where=lambda i: str(texts[i]),
        class_names=classes,
        without_splits="no folders train, val or test",
        notes=[f"no {_CLASSES}: the classes are those that text files name"] if classes is None else [],
    ).labelled(options)


def write_text_files(output: Output) -> list[str]:
    """Write a text file per image, one present class per line, and `classes.txt`."""
    with output.file(_CLASSES) as file:
        file.writelines(f"{name}\n" for name in output.class_names)
    for entry in output.entries:
        with output.file(str(Path(entry.name).with_suffix(".txt"))) as file:
            file.writelines(f"{name}\n" for name in output.names(entry.labels, PRESENT))
    return []


def _text_file(root: Path, image: Path) -> Path:
    text = next((text for text in (image.with_suffix(".txt"), Path(f"{image}.txt")) if text.is_file()), None)
    if text is not None:
        return text
    text = image.with_suffix(".txt")
    parts = list(image.relative_to(root).parts)
    if "images" in parts:
        parts[parts.index("images")] = "labels"
        return (root / Path(*parts)).with_suffix(".txt")
    return text


def _classes(root: Path) -> list[str] | None:
    found = next((path for path in (root / _CLASSES, root / "labels" / _CLASSES) if path.is_file()), None)
    return None if found is None else read_lines(found)


def text_names(path: Path, classes: Sequence[str] | None) -> Names:
    """What the text file of an image lists; nobody looked where there is none.

    Args:
        path: the text file.
        classes: all classes, by which lines of YOLO are named; None where only names are to be expected.

    Raises:
        UserError: the file cannot be read, or a line of YOLO names no class.
    """
    if not path.is_file():
        return Names((), looked=False)
    present = []
    for number, line in enumerate(read_lines(path), start=1):
        box = _BOX.fullmatch(line)
        if classes is not None and line in classes:
            present.append(line)
        elif box:
            present.append(_numbered(int(box[1]), classes, f"{path}, line {number}"))
        else:
            present += [clean for word in line.split(",") if (clean := _ESCAPED.sub(r"\1", word).strip())]
    return Names(present)


def _numbered(index: int, classes: Sequence[str] | None, where: str) -> str:
    if classes is None:
        raise UserError(f"{where}: class {index} by number, and no {_CLASSES} says its name; write one name per line")
    if index >= len(classes):
        raise UserError(f"{where}: class {index} of {len(classes)} in {_CLASSES}, which count from 0")
    return classes[index]


def _splits(image_ids: Sequence[str]) -> list[str] | None:
    """The first folder of each image, or the one after images/, if all of them are splits by their names."""
    parts = [[part for part in image_id.split("/")[:-1] if part != "images"] for image_id in image_ids]
    if not all(part and usual_split(part[0]) for part in parts):
        return None
    return [part[0] for part in parts]


FORMAT = Format(
    "folder",
    "a folder of images with a text file of class names beside each, or boxes in YOLO's layout",
    lambda source: has_text_files(source.path),
    read_text_file_rows,
    weak=True,
    writer=Writer(write_text_files, None, by_split, lists=True),
)
