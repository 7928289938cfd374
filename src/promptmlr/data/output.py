"""Where converted labels go: one file that points at the images where they are, or a new folder that holds them too."""

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from promptmlr.data.images import IMAGE_SUFFIXES, ImageFile, ImageRef, image_format
from promptmlr.data.labelled import LabelledImages
from promptmlr.data.parquet import ParquetImage
from promptmlr.errors import UserError
from promptmlr.files import replacing
from promptmlr.labels import ABSENT, UNKNOWN, Labels
from promptmlr.names import shown
from promptmlr.reporting import Progress

__all__ = ["Entry", "Output", "image_content"]

_TAKEN = ("", "data", "images", "labels", "annotations")  # folders that formats have beside those of splits
_NO_FOLDER = re.compile(r"[\x00-\x1f\x7f/\\]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Entry:
    """One image of the output.

    Attributes:
        split: its split, or "".
        image: the image.
        name: its path in the output, from the folder of the file that lists it, with forward slashes.
        labels: (C,) int8.
    """

    split: str
    image: ImageRef
    name: str
    labels: Labels


class Output:
    """What a format's writer is given.

    Args:
        parts: labelled images by split, with the same classes; under None where there are no splits.
        destination: the file or folder, for messages and relative paths.
        root: the folder that is being made, or None where the destination is a file.
        image_folder: split → the folder below `root` where its images go.
        embeds: whether the file holds the images themselves.
    """

    def __init__(
        self,
        parts: Mapping[str | None, LabelledImages],
        destination: Path,
        root: Path | None,
        image_folder: Callable[[str], str],
        *,
        embeds: bool = False,
    ) -> None:
        self.embeds = embeds
        self.destination = destination
        self.root = root
        self.class_names = next(iter(parts.values())).class_names
        self.has_splits = None not in parts
        if root is not None and image_folder("train") != image_folder("test"):
            for split in parts:
                _check_folder(split)
        labels = [part.labels for part in parts.values()]
        self.unknown = sum(int(np.count_nonzero(one == UNKNOWN)) for one in labels)
        self.absent = sum(int(np.count_nonzero(one == ABSENT)) for one in labels)
        self.entries = list(self._entries(parts, image_folder))

    def splits(self) -> dict[str, list[Entry]]:
        """The entries by split."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.split, []).append(entry)
        return found

    def rows(self) -> Iterator[tuple[str, str, Labels]]:
        """Split, name and labels (C,) of every image."""
        for entry in self.entries:
            yield entry.split, entry.name, entry.labels

    def names(self, labels: Labels, code: int) -> list[str]:
        """The classes whose label, of (C,), is `code`."""
        return [self.class_names[column] for column in np.flatnonzero(labels == code)]

    @contextlib.contextmanager
    def file(self, name: str, mode: str = "w") -> Iterator[IO[Any]]:
        """Open the file `name` of the folder, or the destination where that is a file."""
        options: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
        if self.root is None:
            with replacing(self.destination, mode, **options) as file:
                yield file
        else:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open(mode, **options) as file:
                yield file

    def table(self, name: str = "labels.csv") -> contextlib.AbstractContextManager[IO[str]]:
        """The same for a CSV."""
        return self.file(name)

    def place_images(self, folder_of: Callable[[str], str], progress: Progress, *, link: bool) -> None:
        """Copy the images into the folder, or link to them.

        Raises:
            UnreadableImage: one is missing or damaged.
        """
        if self.root is None:
            return
        for done, entry in enumerate(self.entries, start=1):
            target = self.root / folder_of(entry.split) / Path(entry.name).name
            target.parent.mkdir(parents=True, exist_ok=True)
            if link and isinstance(entry.image, ImageFile):
                entry.image.fingerprint()  # it must be there
                target.symlink_to(os.path.realpath(entry.image.path))
            elif isinstance(entry.image, ImageFile):
                target.write_bytes(entry.image.content())
            else:
                target.write_bytes(image_content(entry.image)[0])
            progress(done, len(self.entries))

    def _entries(
        self, parts: Mapping[str | None, LabelledImages], image_folder: Callable[[str], str]
    ) -> Iterator[Entry]:
        taken = {("", "classes")}  # its text file would be the list of classes
        beside: dict[str, str] = {}
        for split, part in parts.items():
            folder = image_folder(split or "")
            for image_id, image, labels in zip(part.image_ids, part.images, part.labels, strict=True):
                if self.root is None and not self.embeds:
                    name = self._beside(image)
                    if name in beside:
                        raise UserError(f"{beside[name]!r} and {image_id!r} are the same file; keep one of them")
                    beside[name] = image_id
                else:
                    name = "/".join(filter(None, [folder, _free(taken, folder, _file_name(image_id, image))]))
                yield Entry(split or "", image, name, labels)

    def _beside(self, image: ImageRef) -> str:
        """The path of an image from the folder of the destination."""
        if not isinstance(image, ImageFile):
            raise UserError(
                f"{image.name} is no file of its own that {self.destination} could point at; name a folder instead, "
                "and the images are written into it"
            )
        place = Path(os.path.realpath(image.path.absolute().parent), image.path.name)  # a link keeps its own name
        name = os.path.relpath(place, os.path.realpath(self.destination.absolute().parent))
        if shown(name) != name or name != name.strip() or _CONTROL.search(name):
            raise UserError(
                f"{shown(name)!r}: a name that is not UTF-8, has a line break, or a space at an end; rename it"
            )
        return Path(name).as_posix()


def _check_folder(split: str | None) -> None:
    """Refuse splits that cannot have a folder of their own."""
    if split is not None and (split.strip(". ") != split or split.lower() in _TAKEN or _NO_FOLDER.search(split)):
        raise UserError(
            f"split {split!r} cannot be the name of a folder; call it train, val or test, or name a file as destination"
        )


def _file_name(image_id: str, image: ImageRef) -> str:
    """A name that listings of folders show, and whose suffix says what is in the file."""
    written = shown(image.path.name).strip() if isinstance(image, ImageFile) else image_id.replace("\\", "/")
    name = _CONTROL.sub("_", Path(written).name).lstrip(".") or "image"
    if isinstance(image, ImageFile) and Path(name).suffix.lower() in IMAGE_SUFFIXES:
        return name
    suffix = image_content(image)[1]
    return name if Path(name).suffix.lower() == suffix else f"{Path(name).stem}{suffix}"


def _free(taken: set[tuple[str, str]], folder: str, name: str) -> str:
    """The name, or one with a number where a file of that stem is there already: formats know images by their stem."""
    path = Path(name)
    stem, number = path.stem, 1
    while (folder, stem.lower()) in taken:
        number += 1
        stem = f"{path.stem}-{number}"
    taken.add((folder, stem.lower()))
    return stem + path.suffix


def image_content(image: ImageRef) -> tuple[bytes, str]:
    """The bytes of an image file, and their suffix: as stored, or as PNG of what is not stored as a file.

    Raises:
        UnreadableImage: it is missing or damaged.
    """
    if isinstance(image, ImageFile | ParquetImage):
        content = image.content()
        suffix = image_format(content)
        if suffix is not None:
            return content, suffix
    buffer = io.BytesIO()
    image.open().save(buffer, format="PNG")
    return buffer.getvalue(), ".png"
