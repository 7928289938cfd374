"""Local copies of remote files, of a bounded size together: what was used longest ago makes room."""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.files import replacing
from promptmlr.locks import only_process
from promptmlr.remote import opened

__all__ = ["LocalCopies"]

# fsspec's own file caches know an age at which copies expire, and no bound on their size.
PATIENCE = 600.0  # seconds for a copy that another process is making
PIECE = 1 << 20


class LocalCopies:
    """A folder of copies, shared by all processes of a machine.

    Args:
        folder: where they lie; made when missing.
        limit: bytes that they may take together.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit

    def path(self, url: str, size: int) -> Path:
        """The copy of a file, brought here if need be.

        Args:
            url: of a file that never changes.
            size: its bytes.

        Raises:
            UserError: it is larger than all copies may be together, or as `remote.opened`.
            EnvironmentFault: it cannot be brought here or written (disk full), or is cut short.
        """
        path = self.folder / hashlib.sha256(url.encode()).hexdigest()[:32]
        if size > self.limit:
            raise UserError(f"--cache-size is {self.limit:,} bytes, and one shard has {size:,}; give it more")
        with self._held(f"{path.name}.lock", f"another process copies {url} to {path}, and does not come to an end"):
            if not path.exists():
                self._bring(url, path, size)
            with contextlib.suppress(OSError):
                os.utime(path)
        return path

    def _bring(self, url: str, path: Path, size: int) -> None:
        room = path.with_suffix(".room")  # counts as what it is for, so that others do not fill its place
        for cut_short in self.folder.glob(f".{path.name}.*.tmp"):
            cut_short.unlink(missing_ok=True)
        try:
            with self._held("lock", f"another process tidies {self.folder}, and does not come to an end"):
                self._make_room(size)
                self._reserve(room, size)
            with opened(url) as source, replacing(path) as copy:
                shutil.copyfileobj(source, copy, PIECE)
                if copy.tell() != size:
                    raise EnvironmentFault(f"{url} has {copy.tell():,} bytes and not {size:,}; remove its store")
        finally:
            room.unlink(missing_ok=True)

    def _reserve(self, room: Path, size: int) -> None:
        try:
            with room.open("wb") as file:
                file.truncate(size)
        except OSError as error:
            raise EnvironmentFault(f"cannot write {room}: {error.strerror}; free some space") from error

    def _make_room(self, size: int) -> None:
        held = {}
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):  # another process has removed it
                if path.suffix in ("", ".room") and not path.name.startswith(".") and path.name != "lock":
                    held[path] = path.stat()
        total = sum(found.st_size for found in held.values())
        for path, found in sorted(held.items(), key=lambda item: item[1].st_mtime_ns):
            if total + size <= self.limit:
                return
            path.unlink(missing_ok=True)
            total -= found.st_size

    def _held(self, lock: str, busy: str) -> contextlib.AbstractContextManager[None]:
        return only_process(self.folder / lock, busy, PATIENCE, elsewhere="name another place with PROMPTMLR_CACHE")
