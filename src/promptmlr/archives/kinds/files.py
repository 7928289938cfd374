"""Images as files of their own, in a folder or named by a glob; nothing beside them is read."""

from collections.abc import Iterator, Sequence

from promptmlr.archives.sample import Sample

__all__ = ["read_files"]


def read_files(_url: str, files: Sequence[str], _column: str | None) -> Iterator[Sample]:
    """A sample per file; its URL is its key."""
    for file in files:
        yield Sample(file, file)
