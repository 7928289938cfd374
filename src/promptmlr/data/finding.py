"""Images by the names that annotations give them: paths of another machine, addresses, and ids without a suffix."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from promptmlr.data.images import IMAGE_SUFFIXES, ImageFile
from promptmlr.errors import UserError

__all__ = ["ImageFinder"]

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_UPLOADED = re.compile(r"[0-9a-f]{8}-")  # what Label Studio puts before the name of an uploaded file
_Files = dict[str, list[Path]]


class ImageFinder:
    """Finds the image files of one data set.

    A name is taken as written where there is such a file. Otherwise it may be an address (`coco_url`), be
    percent-encoded, use Windows separators, start from a folder of another machine, or lack its suffix: the longest
    end of it that is a file below the folder counts, or else the one file anywhere below it of that name, or of that
    name and all its folders.

    Args:
        folder: what names start from.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listings: dict[Path, _Files] = {}
        self._starts: dict[str, _Files] = {}
        self._below: _Files | None = None
        self._taken: dict[str, str] = {}

    def find(self, written: str, where: str, *others: str) -> ImageFile:
        """The file of an image; where there is none, the name as written, which whoever opens it will miss.

        Args:
            written: its name in the annotations.
            where: the place of that name, for messages.
            others: what else the annotations call it, for when there is no file of the first name.

        Raises:
            UserError: several files fit, or two different names lead to one file.
        """
        start, name = os.path.split(written)  # not of the path: most names of a million begin alike
        if start not in self._starts:
            self._starts[start] = self._listing((self.folder / written).parent)
        if name in self._starts[start]:
            found: Path | None = self.folder / written
        else:
            found = next((path for one in (written, *others) for path in self._candidates(one, where)), None)
        if found is None:
            return ImageFile(self.folder / written)
        first = self._taken.setdefault(str(found), written)
        if first != written and PurePosixPath(first) != PurePosixPath(written):
            raise UserError(f"{where}: image {written!r} would be {found}, as {first!r} is already; name both in full")
        return ImageFile(found)

    def _candidates(self, written: str, where: str) -> Iterator[Path]:
        """Files that a name may mean, the most literal first."""
        path = self.folder / written
        if path.name in self._listing(path.parent):
            yield path
        for meant in dict.fromkeys((written.replace("\\", "/"), _path_of(written))):
            yield from self._below_folder(meant, written, where)

    def _below_folder(self, meant: str, written: str, where: str) -> Iterator[Path]:
        parts = [part for part in meant.split("/") if part not in ("", ".", "..")]
        for name in dict.fromkeys((parts[-1], _UPLOADED.sub("", parts[-1], count=1))) if parts else ():
            for listing in self._listed(parts[:-1]):
                if files := listing.get(name) or listing.get(f"{name}."):
                    yield _only(files, parts[:-1], written, where)

    def _listed(self, folders: Sequence[str]) -> Iterator[_Files]:
        """The files that may be meant: in the folders as written, in ever fewer of them, and at last anywhere."""
        for start in range(len(folders) + 1):
            yield self._listing(self.folder.joinpath(*folders[start:]))
        yield self._index()

    def _listing(self, folder: Path) -> _Files:
        found = self._listings.get(folder)
        if found is None:
            found = self._listings[folder] = dict(_named(folder))
        return found

    def _index(self) -> _Files:
        """All files below the folder; listed once, when a name is not where it should be."""
        if self._below is None:
            self._below = defaultdict(list)
            for folder, _, _ in os.walk(self.folder):
                for name, files in self._listing(Path(folder)).items():
                    self._below[name] += files
        return self._below


def _named(folder: Path) -> _Files:
    """Files of a folder by name, images by `stem.` as well."""
    found: _Files = defaultdict(list)
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.is_dir())
    except (OSError, ValueError):  # there is no such folder, and so no file in it
        return found
    for name in names:
        found[name].append(folder / name)
        if name.lower().endswith(tuple(IMAGE_SUFFIXES)):
            found[f"{name.rpartition('.')[0]}."].append(folder / name)
    return found


def _path_of(written: str) -> str:
    """The path within an address, with forward slashes."""
    if _DRIVE.match(written):
        return written[2:].replace("\\", "/")
    parts = urlsplit(written)
    if "d" in (query := parse_qs(parts.query)):  # Label Studio's /data/local-files/?d=…
        return query["d"][0]
    path = parts.path if parts.scheme else written
    return unquote(path).replace("\\", "/")


def _only(files: list[Path], folders: Sequence[str], written: str, where: str) -> Path:
    """The only file, or of several the only one that is in all of the folders as written."""
    within = [file for file in files if folders and file.parts[-len(folders) - 1 : -1] == tuple(folders)]
    files = within if len(within) == 1 else files
    if len(files) > 1:
        raise UserError(f"{where}: image {written!r} may be {files[0]} or {files[1]}; write which in the annotations")
    return files[0]
