"""Every answer as a line of JSON beside the labels, before anything else is touched: nothing that was said is lost.

`promptmlr convert --answers` reads it (`promptmlr.data.answers`).
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from promptmlr.errors import EnvironmentFault, UserError

__all__ = ["Entry", "Journal"]

State = Literal["waiting", "written", "dropped"]


@dataclass(frozen=True)
class Entry:
    """An answer, and where it is.

    Attributes:
        image: the image's id.
        class_name: the class.
        value: "1" present, "0" absent.
        state: waiting for the label file, written to it, or given up (undone, or answered by others).
        random: whether the cell was drawn at random, so that it stands for others, and not chosen for what it teaches.
    """

    image: str
    class_name: str
    value: str
    state: State
    random: bool = False

    @property
    def cell(self) -> tuple[str, str]:
        """Image id and class."""
        return self.image, self.class_name


class Journal:
    """A file that only grows.

    Args:
        path: made when missing.

    Raises:
        EnvironmentFault: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._append("")

    def add(self, entries: Iterable[Entry]) -> None:
        """Write lines, and have them on the disk.

        Raises:
            EnvironmentFault: they cannot be written.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._append("".join(_line(now, entry) for entry in entries))

    def answers(self) -> list[Entry]:
        """The last answer to each cell that was not given up, in their order; lines cut short by a crash do not count.

        Raises:
            UserError: it cannot be read.
        """
        last: dict[tuple[str, str], Entry] = {}
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror}") from error
        for line in lines:
            try:
                record = json.loads(line)
                entry = Entry(record["image"], record["class"], record["value"], record["state"],
                              record.get("random") is True)  # fmt: skip
            except (ValueError, KeyError, TypeError):
                continue
            last.pop(entry.cell, None)
            last[entry.cell] = entry
        return [entry for entry in last.values() if entry.state != "dropped" and entry.value in ("0", "1")]

    def _append(self, text: str) -> None:
        try:
            with self.path.open("a+", encoding="utf-8", newline="") as file:
                if text and file.tell() and not self._ends_a_line():
                    text = "\n" + text
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise EnvironmentFault(
                f"cannot write {self.path}: {error.strerror or error}; name another place with --journal"
            ) from error

    def _ends_a_line(self) -> bool:
        """Whether its last line is whole: one that a crash cut short must not swallow the next."""
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def _line(time: str, entry: Entry) -> str:
    record = {"time": time, "image": entry.image, "class": entry.class_name, "value": entry.value, "state": entry.state,
              "random": entry.random}  # fmt: skip
    return json.dumps(record, ensure_ascii=False) + "\n"
