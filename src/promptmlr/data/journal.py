"""The journal of `promptmlr serve --label`: a line of JSON for every answer, in a file that only grows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from promptmlr.errors import UserError

__all__ = ["Entry", "State", "read_journal"]

State = Literal["waiting", "written", "dropped"]


@dataclass(frozen=True)
class Entry:
    """An answer, and where it is.

    Attributes:
        image: the image's id.
        class_name: the class.
        value: "1" present, "0" absent, "" unknown.
        state: waiting for the label file, written to it, or given up (undone, or answered by others).
        random: whether the cell was drawn at random, so that it stands for others, and not chosen for what it teaches.
    """

    image: str
    class_name: str
    value: str
    state: State = "written"
    random: bool = False

    @property
    def cell(self) -> tuple[str, str]:
        """Image id and class."""
        return self.image, self.class_name


def read_journal(path: Path) -> list[Entry]:
    """The last answer to each cell that was not given up, in their order.

    A line that a crash cut short does not count, also where later answers follow it.

    Raises:
        UserError: the file cannot be read, or another line is no answer.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not a UTF-8 text file'}") from error
    last: dict[tuple[str, str], Entry] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (line.startswith("{") and not line.rstrip().endswith("}")):
            continue
        entry = _entry(line)
        if entry is None:
            raise UserError(
                f"{path}, line {number}: no answer; a line is such as "
                '{"image": "a.jpg", "class": "dog", "value": "1"}, "0" for absent'
            )
        last.pop(entry.cell, None)
        last[entry.cell] = entry
    return [entry for entry in last.values() if entry.state != "dropped"]


def _entry(line: str) -> Entry | None:
    try:
        record = json.loads(line)
        image, name, value = record["image"], record["class"], str(record["value"])
    except (ValueError, KeyError, TypeError):
        return None
    if value not in ("1", "0", "") or not isinstance(image, str) or not isinstance(name, str):
        return None
    return Entry(image, name, value, record.get("state", "written"), record.get("random") is True)
