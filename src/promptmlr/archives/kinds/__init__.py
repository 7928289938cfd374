"""Kinds of shard, by name: a new one is a file with a function from a shard to samples, and a row here."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from promptmlr.archives.kinds.files import read_files
from promptmlr.archives.kinds.parquet import read_parquet
from promptmlr.archives.kinds.tar import read_tar
from promptmlr.archives.sample import Sample

__all__ = ["KINDS", "Kind", "kind_of"]


@dataclass(frozen=True)
class Kind:
    """A kind of shard.

    Attributes:
        suffixes: of its files, small letters.
        read: URL, URLs of files and the column with images or their addresses (None finds it) → samples, in order.
    """

    suffixes: tuple[str, ...]
    read: Callable[[str, Sequence[str], str | None], Iterator[Sample]]


KINDS = {
    "tar": Kind((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"), read_tar),
    "parquet": Kind((".parquet",), read_parquet),
    "files": Kind((), read_files),
}


def kind_of(url: str) -> str | None:
    """The kind that the end of a URL tells; None for any other."""
    plain = url.split("?")[0].lower()
    return next((name for name, kind in KINDS.items() if plain.endswith(kind.suffixes or "\0")), None)
