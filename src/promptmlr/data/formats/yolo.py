"""A data set of Ultralytics' YOLO: `data.yaml`, which names the classes and the folders of images of each split.

The text file of an image has a line `class x y width height` per object, or the outline of one; the class counts, the
box does not. It is where the image is, with `labels` for the last `images` in its path. An image without objects
needs no text file (https://docs.ultralytics.com/datasets/detect): it shows nothing, or nobody labelled it, and
`--unlisted` says which.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from promptmlr.data.formats.base import Format, Source
from promptmlr.data.formats.text_files import text_names
from promptmlr.data.images import ImageFile, find_images
from promptmlr.data.options import DataOptions
from promptmlr.data.rows import LabelledRows, ListedRows, Names, read_lines
from promptmlr.errors import UserError
from promptmlr.names import first_names, shown

__all__ = ["FORMAT", "read_yolo"]

_SPLITS = ("train", "val", "test")
_FILES = ("data.yaml", "data.yml", "dataset.yaml")


def read_yolo(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read the images of all splits and the boxes of each.

    Args:
        path: `data.yaml`, or the folder with it.
        images: the root that its folders start from, by default its `path`, or the folder of the file.
        options: `unlisted`.

    Raises:
        UserError: the file is damaged, names no classes or no images; a line names no class; silence is unclear.
    """
    file = path if path.is_file() else next((path / name for name in _FILES if (path / name).is_file()), None)
    if file is None:
        raise UserError(f"{path}: no {first_names(_FILES)} in it")
    content = _content(file)
    classes, root = _classes(content, file), _root(content, file, images)
    gone: list[str] = []
    found = [(split, image) for split in _SPLITS for image in _images(content.get(split), root, gone)]
    if not found:
        missing = f", and there is no {first_names(gone)}" if gone else ""
        raise UserError(f"{file}: its train, val and test name no image{missing}; name the root with --images")
    texts = [_labels_of(image) for _, image in found]
    bare = sum(not text.is_file() for text in texts)
    return ListedRows(
        [text_names(text, classes) if text.is_file() else Names(()) for text in texts],
        [shown(image.relative_to(root).as_posix() if image.is_relative_to(root) else str(image)) for _, image in found],
        [ImageFile(image) for _, image in found],
        splits=[split for split, _ in found],
        kind="YOLO",
        path=path,
        where=lambda row: str(texts[row]),
        class_names=classes,
        notes=[
            *([f"there is no {first_names(gone)}: left out"] if gone else []),
            *([f"{bare:,} of {len(texts):,} images have no text file: for YOLO they show no object"] if bare else []),
        ],
    ).labelled(options)


def _content(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise UserError(f"{file}: aliases (*name) may stand for endless lists; write out what they stand for")
        content = yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: damaged YAML ({' '.join(str(error).split())[:200]})") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: not a data.yaml with train, val and names")
    return content


def _classes(content: dict[str, Any], file: Path) -> list[str]:
    names = content.get("names")
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise UserError(f"{file}: its names are not numbered from 0 to {len(names) - 1}")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise UserError(f"{file}: no names of classes in it")
    return [str(name) for name in names]


def _root(content: dict[str, Any], file: Path, images: Path | None) -> Path:
    """The folder that paths start from; one of another machine does not count."""
    named = file.parent / str(content.get("path") or ".")
    return images or (named if named.is_dir() else file.parent)


def _images(named: Any, root: Path, gone: list[str]) -> Iterator[Path]:
    """Images of a split, which is a folder, a text file that lists images, or a list of these; `gone` gets others."""
    for one in named if isinstance(named, list) else [named] if named else []:
        place = root / str(one)
        if not place.exists():  # as Roboflow writes them, relative to a folder that is not there
            place = root / str(one).removeprefix("../")
        if place.suffix == ".txt":
            yield from (root / line.removeprefix("./") for line in read_lines(place))
        elif place.is_dir():
            yield from find_images([place])
        else:
            gone.append(str(place))


def _labels_of(image: Path) -> Path:
    parts = list(image.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _recognised(source: Source) -> bool:
    if source.path.is_dir():
        return any((source.path / name).is_file() for name in _FILES)
    return source.suffix in (".yaml", ".yml") and any(line.startswith("names") for line in source.start)


FORMAT = Format(
    "yolo",
    "a data set of Ultralytics' YOLO: data.yaml, or the folder with it",
    _recognised,
    read_yolo,
)
