"""What a label format is: how it is recognised, read and written. Each has a file of its own in this package."""

import json
import mmap
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from promptmlr.data.labelled import LabelledImages
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.data.output import Output
from promptmlr.data.rows import LabelledRows, read_json
from promptmlr.data.table import TABLES, table_header
from promptmlr.labels import PRESENT

__all__ = [
    "Amend",
    "BySplit",
    "Changes",
    "Format",
    "Reader",
    "Source",
    "Writer",
    "as_json",
    "by_split",
    "present",
    "spaced",
    "together",
]

Changes = Sequence[dict[str, int]]
"""For each image: class name → 1 present, 0 absent, -1 unknown, where that changes.

Images are in the order of the file, or by their ids where the format is read by split.
"""

Amend = Callable[[Path, Changes, DataOptions], bytes]
"""File, changes, options → the file with these labels in it, as far as it can hold them, and all else as it was."""

_START = 1 << 14  # bytes; a line of CelebA's names is 500


@dataclass(frozen=True)
class Source:
    """What somebody named as data: a file, a folder, or a name for what is drawn. Read at most once to recognise it."""

    name: str
    options: DataOptions = field(default_factory=DataOptions)

    @cached_property
    def path(self) -> Path:
        """Where it is, if it is a file or a folder."""
        return Path(self.name)

    @cached_property
    def suffix(self) -> str:
        """Of a file, in small letters; empty for anything else."""
        return self.path.suffix.lower() if self.path.is_file() else ""

    @cached_property
    def header(self) -> list[str]:
        """The column names of a table; empty for anything else."""
        return table_header(self.path, self.options) if self.suffix in TABLES else []

    @cached_property
    def start(self) -> list[str]:
        """The first lines of a text file; none of anything else."""
        if not self.suffix:
            return []
        with self.path.open("rb") as file:
            return file.read(_START).decode("utf-8-sig", errors="replace").splitlines()

    @cached_property
    def content(self) -> Any:
        """What a .json file holds; None for anything else. Ask `mentions` first: such files may be gigabytes."""
        return read_json(self.path) if self.suffix == ".json" else None

    def mentions(self, *keys: str) -> bool:
        """Whether a .json file has all of these texts in quotation marks, wherever they are in it."""
        if self.suffix != ".json" or not self.path.stat().st_size:
            return False
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return all(content.find(f'"{key}"'.encode()) >= 0 for key in keys)


@dataclass(frozen=True)
class BySplit:
    """Reading of a format that keeps each split in a file of its own.

    Attributes:
        read: path, split, purpose, folder of images and options → the images of one split.
        splits: path → the names of all splits.
    """

    read: Callable[[Path, str | None, Purpose, Path | None, DataOptions], LabelledImages]
    splits: Callable[[Path], Sequence[str]]


Reader = Callable[[Path, Path | None, DataOptions], LabelledRows] | BySplit
"""Path, folder of images and options → all rows; or a split at a time."""


def spaced(name: str) -> str:
    """A class as `LabelledImages` calls it, with spaces for underscores."""
    return name.replace("_", " ").strip()


def present(changed: Mapping[str, int]) -> list[str]:
    """The classes that are present now."""
    return [name for name, code in changed.items() if code == PRESENT]


def as_json(path: Path, content: Any) -> bytes:
    """JSON with the indentation of the file that it was read from."""
    with path.open(encoding="utf-8-sig") as file:
        start = re.match(r"\s*[{\[]\n( *)\S", file.read(_START))
    return json.dumps(content, ensure_ascii=False, indent=len(start[1]) if start else None).encode() + b"\n"


def together(_split: str) -> str:
    """One folder for the images of all splits."""
    return "images"


def by_split(split: str) -> str:
    """A folder for each split, called like it."""
    return split


@dataclass(frozen=True)
class Writer:
    """Writing of a format.

    Attributes:
        write: fills an output, and says what to know about it.
        suffix: of a destination that is one file; None where it is always a folder.
        image_folder: split, or "" → where its images go.
        lists: names alone: silence means absent or unknown, and the file does not say which.
        negatives: a list format that has a place for absent classes.
        class_list: whether classes are kept that no label names.
    """

    write: Callable[[Output], list[str]]
    suffix: str | None
    image_folder: Callable[[str], str] = together
    lists: bool = False
    negatives: bool = False
    class_list: bool = True


@dataclass(frozen=True)
class Format:
    """One way of keeping labels.

    Attributes:
        name: as `--format` takes it.
        description: what the file or folder looks like, in a phrase.
        recognises: whether a source is in this format.
        reader: reads it.
        weak: whether its sign may be there by chance, as a stray .txt beside photos: asked when no other fits.
        selects: whether it reads `--classes` and `--ignore` itself, as columns.
        says_all: whether it says of every class what it is, so that `--unlisted` has no meaning.
        writer: for formats that `convert` writes.
        amend: for files that can be corrected.
    """

    name: str
    description: str
    recognises: Callable[[Source], bool]
    reader: Reader
    weak: bool = False
    selects: bool = False
    says_all: bool = False
    writer: Writer | None = None
    amend: Amend | None = None
