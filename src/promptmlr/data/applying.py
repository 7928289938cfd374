"""The command that puts the answers of a journal where they belong, as a person would type it."""

import shlex
from dataclasses import replace
from pathlib import Path

from promptmlr.data.answers import correctable
from promptmlr.data.formats import FORMATS, WRITERS, detect_format
from promptmlr.data.options import DataOptions

__all__ = ["applying_command"]


def applying_command(data: str, journal: Path, options: DataOptions) -> str:
    """`promptmlr convert` with all that it needs: into the same file where that can be corrected, else into a new one.

    Args:
        data: what was labelled.
        journal: the answers.
        options: how the data are read.
    """
    path = Path(data)
    kind = options.format or detect_format(data)
    stem, to = (path.stem if path.is_file() else path.name), []
    suffix: str | None = path.suffix
    if not correctable(data, options):
        writer = FORMATS[kind].writer
        whole = writer is not None and writer.suffix is not None and (writer.negatives or not writer.lists)
        name = kind if whole and path.is_file() and (kind, suffix) != ("csv", ".parquet") else "csv"
        to, suffix = ["--to", name], WRITERS[name].suffix
        options = options if kind == "csv" else replace(options, classes=None)  # whatever was not asked about stays
    target = path.with_name(f"{stem}-answered{suffix if path.exists() else ''}")
    more = ["--overwrite"] if target.is_file() else []
    words = ["promptmlr", "convert", data, str(target), "--answers", str(_near(journal)), *to, *options.words(), *more]
    return shlex.join(words)


def _near(path: Path) -> Path:
    """A path as it is called from the folder that one is in."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path
