"""What a person names, as shards: URLs with brace ranges and globs, folders, commands of the shell.

Nothing is listed before it is reached, and nothing is asked of a shard that is not looked at: a range such as
`train-{000..999}.tar` costs no request.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from promptmlr.archives.kinds import KINDS, kind_of
from promptmlr.data.formats.features import has_features
from promptmlr.data.images import IMAGE_SUFFIXES
from promptmlr.errors import UserError, of_extra
from promptmlr.remote import PIPE, Entry, MissingSource, absolute, is_local, listed, stamp_of

__all__ = ["Shard", "find_shards", "is_archive", "share"]

FILES_AT_ONCE = 10_000  # of a folder, in one shard: as many as others put into a tar
_BRACES = re.compile(r"(?<!\$)\{[^{}]*(,|\.\.)[^{}]*\}")
_GLOB = re.compile(r"[*\[]")


@dataclass(frozen=True, slots=True)
class Shard:
    """A piece of an archive that is processed at once.

    Attributes:
        url: where it lies; of files, the first.
        kind: a name of `KINDS`.
        files: of a piece of a folder: URLs of its images, and
        listed: what changes when one of them does.
    """

    url: str
    kind: str
    files: tuple[str, ...] = ()
    listed: str | None = None

    @property
    def name(self) -> str:
        """What its output is called: the stem, and digits that tell apart those of one stem."""
        stem = PurePosixPath(self.url.removeprefix(PIPE).split("?")[0].split()[-1]).name.split(".")[0]
        stem = re.sub(r"[^\w-]+", "-", stem, flags=re.ASCII)[:60]
        return f"{stem}-{hashlib.sha256(self.url.encode()).hexdigest()[:8]}"

    def stamp(self) -> str:
        """What changes when the shard does; errors as `stamp_of`."""
        return stamp_of(self.url) if self.listed is None else self.listed


def is_archive(source: str) -> bool:
    """Whether a text names more than files and folders of this machine: shards, a URL, a range."""
    if source.startswith(PIPE) or "://" in source:
        return True
    path = Path(source)
    if _BRACES.search(source) and not path.exists():
        return True
    kind = kind_of(source)
    return kind is not None and not has_features(path)


def find_shards(sources: Sequence[str]) -> Iterator[Shard]:
    """The shards that sources name, in order, one by one.

    Args:
        sources: URLs or paths of tars and Parquet files, of images and of folders with images, with brace ranges
            (`{000..049}`, `{a,b}`) and globs; or `pipe:` and a command that writes a tar.

    Raises:
        UserError: one of them names nothing, or something that is none of these.
        EnvironmentFault: it cannot be reached.
    """
    for source in sources:
        for url in _expanded(source):
            yield from _shards(absolute(url))


def share(shards: Iterable[Shard], part: str | None) -> Iterator[Shard]:
    """Every n-th shard from the i-th on, for the part "i/n", where i counts from 0; all of them for None.

    Raises:
        UserError: at the call, for a part that is none.
    """
    if part is None:
        return iter(shards)
    match = re.fullmatch(r"(\d+)/(\d+)", part)
    if match is None or int(match[1]) >= int(match[2]):
        raise UserError(f"--shard {part}: write it as 0/16, 1/16, … 15/16, in each of 16 jobs another")
    return itertools.islice(shards, int(match[1]), None, int(match[2]))


def _expanded(source: str) -> Iterator[str]:
    if not _BRACES.search(source) or (is_local(source) and Path(source).exists()):
        yield source
        return
    with of_extra("archives"):
        from bracex import iexpand
    yield from iexpand(source, limit=0)


def _shards(url: str) -> Iterator[Shard]:
    if url.startswith(PIPE):
        yield Shard(url, "tar")
    elif _GLOB.search(url) and not (is_local(url) and Path(url).exists()):
        yield from _or_nothing(url, _of_files(entry for entry in listed(url) if entry.is_file))
    elif (kind := kind_of(url)) is not None:
        yield Shard(url, kind)
    else:
        try:
            yield from _or_nothing(url, itertools.chain.from_iterable(map(_of_files, _walk(url))))
        except MissingSource as error:
            raise UserError(f"{url}: no such file or folder") from error


def _or_nothing(url: str, shards: Iterator[Shard]) -> Iterator[Shard]:
    first = next(shards, None)
    if first is None:
        raise UserError(f"{url}: nothing to process there; looked for {_KNOWN}")
    return itertools.chain([first], shards)


def _of_files(entries: Iterable[Entry]) -> Iterator[Shard]:
    """The shards among some files; where there are none, pieces of the images among them.

    A Parquet file beside a tar of its name is what img2dataset says of that tar, and no shard of its own.
    """
    files = list(entries)
    tars = {_stem(file.url) for file in files if kind_of(file.url) == "tar"}
    shards = [
        Shard(file.url, kind)
        for file in files
        if (kind := kind_of(file.url)) and not (kind == "parquet" and _stem(file.url) in tars)
    ]
    images = [file for file in files if not shards and _is_image(file.url)]
    yield from shards
    for begin in range(0, len(images), FILES_AT_ONCE):
        piece = images[begin : begin + FILES_AT_ONCE]
        stamp = hashlib.sha256("\0".join(f"{file.url} {file.stamp}" for file in piece).encode()).hexdigest()[:32]
        yield Shard(piece[0].url, "files", tuple(file.url for file in piece), stamp)


def _walk(url: str) -> Iterator[list[Entry]]:
    """The files right in a folder, then those in each folder below it; a file alone is its own."""
    entries = [entry for entry in listed(url) if not PurePosixPath(entry.url).name.startswith(".")]
    yield [entry for entry in entries if entry.is_file]
    for entry in entries:
        if not entry.is_file and entry.url.rstrip("/") != url.rstrip("/"):
            yield from _walk(entry.url)


def _stem(url: str) -> str:
    """A URL up to the first dot of its name."""
    folder, slash, name = url.rpartition("/")
    return folder + slash + name.partition(".")[0]


def _is_image(url: str) -> bool:
    return PurePosixPath(url.split("?")[0]).suffix.lower() in IMAGE_SUFFIXES


_KNOWN = " ".join([*(suffix for kind in KINDS.values() for suffix in kind.suffixes), *sorted(IMAGE_SUFFIXES)])
