"""Tars as webdataset and img2dataset write them: neighbouring files of one name up to the first dot are a sample."""

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import IO, Any

from promptmlr.archives.sample import Sample, ShardFault
from promptmlr.data.images import IMAGE_SUFFIXES
from promptmlr.names import shown
from promptmlr.remote import opened

__all__ = ["read_tar"]

_TEXTS = ("json", "cls", "txt")
_END = 1024  # bytes of zeros at the end of a whole tar


def read_tar(url: str, _files: Sequence[str], _column: str | None) -> Iterator[Sample]:
    """The samples of a tar, in its order; one is in memory.

    Raises:
        ShardFault: it is no tar, is cut short, holds no image, or two samples of one key.
        UserError: as `opened`.
        EnvironmentFault: as `opened`.
    """
    seen: set[str] = set()
    images = 0
    for key, parts in _groups(url):
        if key in seen:
            raise ShardFault(f"{url}: two samples with the key {key!r}; keys must differ within a shard, so rename one")
        seen.add(key)
        image = next((parts[field] for field in parts if field not in _TEXTS), None)
        images += image is not None
        texts = {field: parts[field].decode("utf-8", "replace") for field in _TEXTS if field in parts}
        yield Sample(key, image, _record(texts.get("json")), texts.get("cls"), texts.get("txt"))
    if not images:
        raise ShardFault(f"{url}: no image in it; looked for {' '.join(sorted(IMAGE_SUFFIXES))}")


def _groups(url: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key, and the content of each of its files that counts, by what follows the first dot."""
    key = ""
    parts: dict[str, bytes] = {}
    try:
        with opened(url) as file:
            tail = _Tail(file)
            with tarfile.open(fileobj=tail, mode="r|*", bufsize=1 << 18) as archive:  # type: ignore[call-overload]
                for member in archive:
                    archive.members.clear()  # or it keeps a description of each
                    path = PurePosixPath(shown(member.name))
                    if not member.isfile() or path.name.startswith("."):
                        continue
                    stem, _, field = path.name.partition(".")
                    found = str(path.with_name(stem))
                    if found != key and parts:
                        yield key, parts
                        parts = {}
                    key, field = found, field.lower()
                    if field in parts:
                        raise ShardFault(
                            f"{url}: two files {key}.{field}; keys must differ within a shard, so rename one"
                        )
                    if field in _TEXTS or f".{field.rpartition('.')[2]}" in IMAGE_SUFFIXES:
                        content = archive.extractfile(member)
                        assert content is not None
                        parts[field] = content.read()
            if not tail.whole():
                raise ShardFault(f"{url}: cut short after {key!r}; copy or download it again")
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:  # of a damaged or cut-off compression, too
        raise ShardFault(f"{url}: no tar, or damaged or cut short after {key!r} ({error}); copy it again") from error
    if parts:
        yield key, parts


class _Tail:
    """A file that is read once, and remembers whether it ended as a tar does."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._last = file, b""
        self._compressed: bool | None = None

    def read(self, size: int = -1) -> bytes:
        """As any file."""
        content = self._file.read(size)
        if self._compressed is None:
            self._compressed = content[:2] == b"\x1f\x8b" or content[:3] in (b"BZh", b"\xfd7z")
        self._last = (self._last + content)[-_END:]
        return content

    def whole(self) -> bool:
        """Whether zeros end it; compressed data knows its own end."""
        while self.read(1 << 18):
            pass
        return bool(self._compressed) or self._last == bytes(_END)


def _record(text: str | None) -> dict[str, Any]:
    """What a `.json` says; nothing where it is not one object."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
