"""A label CSV that other programs may write at any time, and some cells of it changed under a lock."""

import os
from collections.abc import Callable
from pathlib import Path

from promptmlr.data import DataOptions
from promptmlr.data.cells import LabelCells
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.files import replacing
from promptmlr.locks import only_process

__all__ = ["LabelFile"]

_DEFAULTS = DataOptions()
PATIENCE = 3.0  # seconds to wait for another process that writes the same file
ATTEMPTS = 5  # to find the file unchanged between reading and replacing it

Edit = Callable[[LabelCells], LabelCells]


class _Changed(Exception):
    """The file is no longer what was read."""


class LabelFile:
    """A label CSV.

    Args:
        path: the file, or a link to it, which stays one.
        options: which of its columns are classes, and what cells say.
    """

    def __init__(self, path: Path, options: DataOptions = _DEFAULTS) -> None:
        self._options = options
        self.path = path.resolve()
        self._cells: LabelCells | None = None
        self._seen: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Without its folder, which is nobody's business on a page."""
        return self.path.name

    def read(self) -> LabelCells:
        """The file as it is now; its time of change, size and place tell whether it must be read again.

        Raises:
            UserError: it cannot be read, or is no CSV of labels at the moment.
        """
        try:
            seen = _signature(self.path)
            if self._cells is None or self._seen != seen:
                self._cells = LabelCells.parse(Path(self.name), self.path.read_bytes(), self._options)
                self._seen = seen
        except OSError as error:
            raise UserError(f"cannot read {self.name}: {error.strerror}") from error
        return self._cells

    def change(self, edit: Edit) -> None:
        """Change the file as it is at this moment.

        Args:
            edit: the file → the file as it shall be, or the same object where nothing is to be written. Called again
                where somebody saves the file meanwhile.

        Raises:
            UserError: the file cannot be read, or others keep writing.
            EnvironmentFault: the file cannot be written.
        """
        lock = self.path.with_name(f".{self.name}.lock")
        with only_process(lock, f"another process is writing {self.name}", PATIENCE):
            for _ in range(ATTEMPTS):
                before = self._fresh()
                after = edit(before)
                if after is before or self._replace(before, after):
                    return
        raise UserError(f"{self.name} changes all the time; close what else writes it")

    def _fresh(self) -> LabelCells:
        """The file as it is now, by its bytes."""
        if self._cells is None or self._content() != self._cells.content:
            self._seen = ()
        return self.read()

    def _replace(self, before: LabelCells, after: LabelCells) -> bool:
        """Write `after`, unless the file is no longer what `before` was read from."""
        try:
            with replacing(self.path, like=self.path.stat()) as file:
                file.write(after.content)
                file.flush()
                os.fsync(file.fileno())
                self._require(before)  # the last moment before it takes the name
        except _Changed:
            return False
        except OSError as error:
            raise EnvironmentFault(f"cannot write {self.name}: {error.strerror}") from error
        self._cells, self._seen = after, _signature(self.path)
        return True

    def _require(self, before: LabelCells) -> None:
        if self._content() != before.content:
            raise _Changed

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {self.name}: {error.strerror}") from error


def _signature(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino
