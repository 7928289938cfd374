"""Every answer as a line of JSON beside the label CSV, before the CSV is touched: nothing that was said is lost."""

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
    """An answer, and where it is: waiting for the CSV, written to it, or given up (undone, or answered by others)."""

    image: str
    class_name: str
    value: str
    state: State

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

    def waiting(self) -> list[Entry]:
        """The answers that the CSV has not got yet, in their order; lines that a crash cut short do not count.

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
                entry = Entry(record["image"], record["class"], record["value"], record["state"])
            except (ValueError, KeyError, TypeError):
                continue
            last.pop(entry.cell, None)
            last[entry.cell] = entry
        return [entry for entry in last.values() if entry.state == "waiting" and entry.value in ("0", "1")]

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
    record = {"time": time, "image": entry.image, "class": entry.class_name, "value": entry.value, "state": entry.state}
    return json.dumps(record, ensure_ascii=False) + "\n"
