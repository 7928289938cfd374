"""Every answer as a line of JSON beside the labels, before anything else is touched: nothing that was said is lost.

`promptmlr.data.journal` reads it, for this page and for `promptmlr convert --answers`.
"""

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from promptmlr.data.journal import Entry, read_journal
from promptmlr.errors import EnvironmentFault

__all__ = ["Journal"]


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
        """The last answer, present or absent, to each cell; raises as `read_journal`."""
        return [entry for entry in read_journal(self.path) if entry.value]

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
