"""Atomic writing of files and folders, and durable appending to files."""

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from promptmlr.errors import EnvironmentFault, UserError

# atomicwrites was archived in 2022 and points to os.replace; it has neither folders nor files that grow.
__all__ = [
    "check_writable",
    "new_folder",
    "replacing",
    "write_at",
    "write_bytes",
    "write_folder",
    "write_text",
]


@contextlib.contextmanager
def replacing(
    path: str | Path, mode: str = "wb", *, like: os.stat_result | None = None, **options: Any
) -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; on success it is synced and takes the name, on any error it is gone.

    Args:
        path: the file to write; its folder is made when missing.
        mode: "wb" or "w".
        like: whose permissions and, where that is allowed, owner the file gets; None: those of any new file.
        options: passed on to `open` (encoding, newline).

    Raises:
        EnvironmentFault: the file cannot be written (disk full, no permission).
    """
    path = Path(path)
    temporary = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opener = None if like is None else _for_its_owner_alone
        with open(temporary, mode.replace("w", "x"), opener=opener, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if like is not None:
            with contextlib.suppress(OSError):  # only root may give files away
                os.chown(temporary, like.st_uid, like.st_gid)
            temporary.chmod(stat.S_IMODE(like.st_mode))
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path`; on success it takes the name, on any error it is gone with what is in it.

    Raises:
        UserError: there is something at `path` already.
        EnvironmentFault: it cannot be written (disk full, no permission).
    """
    path = Path(path)
    if path.exists() or path.is_symlink():
        raise UserError(f"{path} exists already; name another folder, or remove it")
    temporary = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        temporary.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: str | Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all."""
    with replacing(path, "w", encoding="utf-8", newline="") as file:
        file.write(content)


def check_writable(path: str | Path) -> None:
    """Find out before long work whether a file can be written; its folder is made when missing.

    Raises:
        EnvironmentFault: it cannot.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def write_folder(path: str | Path, files: Mapping[str, bytes]) -> None:
    """Make a folder of files, whole or not at all.

    Raises:
        UserError: the folder exists.
        EnvironmentFault: it cannot be written.
    """
    with new_folder(path) as folder:
        for name, content in files.items():
            write_bytes(folder / name, content)


def write_at(path: str | Path, offset: int, content: bytes | memoryview) -> None:
    """Write `content` at byte `offset` of a file that is made when missing, cut it off there, and sync it.

    Raises:
        EnvironmentFault: it cannot be written (disk full, no permission), or is shorter than `offset`.
    """
    path = Path(path)
    try:
        new = not path.exists()
        if (0 if new else path.stat().st_size) < offset:
            raise EnvironmentFault(f"{path} was removed or cut off while it was written; repeat the command")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb" if new else "r+b") as file:
            file.seek(offset)
            file.write(content)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        if new:
            _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> EnvironmentFault:
    advice = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "name another place"
    return EnvironmentFault(f"cannot write {path}: {error.strerror or error}; {advice}")


def _beside(path: Path) -> Path:
    """A name that nothing has yet: what is made under it gets its permissions from the system, as any new file."""
    return path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"


def _for_its_owner_alone(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    """As far as the system can: the file is whole already, and Windows and some file systems sync no folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
