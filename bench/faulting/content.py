"""What is in a folder, so that two ways to the same result can be compared: all bytes, but for clocks."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

__all__ = ["Content", "content_of", "difference"]

Content = Mapping[str, str]
"""Path from the folder → digest."""

_CLOCKS = ("seconds", "time")  # keys and columns that two equal results may differ in
_LOCKS = (".lock", "/lock")  # who worked there last


def content_of(folder: Path, *, temporary: bool = False) -> Content:
    """The files of a folder.

    Args:
        folder: it, with all folders below.
        temporary: whether files count that only a killed process leaves behind.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        left = name.endswith(".tmp") or "/." in f"/{name}" or name.startswith("tmp/")
        if path.is_dir() or f"/{name}".endswith(_LOCKS) or (left and not temporary):
            continue
        found[name] = _digest(path, str(folder).encode())
    return found


def difference(wanted: Content, found: Content, but: Iterable[str] = ()) -> str | None:
    """The first files that differ, in words; None where none does.

    Args:
        wanted: what should be there.
        found: what is there.
        but: files, folders with all that is in them, and patterns of such that do not matter.
    """
    names = sorted(
        name
        for name in wanted.keys() | found.keys()
        if wanted.get(name) != found.get(name)
        and not any(f"{name}/".startswith(f"{one}/") or fnmatch(name, one) for one in but)
    )
    if not names:
        return None
    words = [f"{name} is {_how(name, wanted, found)}" for name in names[:3]]
    return ", ".join(words) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _how(name: str, wanted: Content, found: Content) -> str:
    return "missing" if name not in found else "too many" if name not in wanted else "another"


def _digest(path: Path, folder: bytes) -> str:
    content = path.read_bytes() if path.is_file() else str(path.readlink()).encode()  # a link to nothing
    content = content.replace(folder, b"")  # the same work in another folder is the same
    with suppress(ValueError, RecursionError, csv.Error):  # where it is damaged
        content = _without_clocks(path.suffix, content)
    return hashlib.sha256(content).hexdigest()


def _without_clocks(suffix: str, content: bytes) -> bytes:
    if suffix == ".json":
        return json.dumps(_timeless(json.loads(content))).encode()
    if suffix == ".jsonl":
        return json.dumps([_timeless(json.loads(line)) for line in content.splitlines()]).encode()
    if suffix == ".csv" and any(clock.encode() in content.partition(b"\n")[0].split(b",") for clock in _CLOCKS):
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        return json.dumps([_timeless(row) for row in rows]).encode()
    return content


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(one) for key, one in value.items() if key not in _CLOCKS}
    return [_timeless(one) for one in value] if isinstance(value, list) else value
