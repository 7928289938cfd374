"""Files anywhere that fsspec reaches: opened, described and written, with patience for what a network does.

A failure that may pass (a connection lost, a server that is busy) is tried again after 0.5, 1, 2 and 4 seconds; one
that will not (no such file, access refused) is a line at once.
"""

import errno
import io
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, NamedTuple, TypeVar

import fsspec
from fsspec.core import url_to_fs

from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.files import replacing

__all__ = [
    "PIPE",
    "Entry",
    "MissingSource",
    "absolute",
    "is_local",
    "listed",
    "opened",
    "read_small",
    "stamp_of",
    "storing",
]

PIPE = "pipe:"
WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds before each further attempt
A_MOMENT = 1.0  # seconds that the command of a pipe has to leave once its output was of no use
BLOCK = 4 << 20  # bytes of a request; the next one is under way while this one is read

_BUCKETS = ("s3", "s3a", "gs", "gcs")
_STAMPS = ("ETag", "etag", "blob_id", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "Last-Modified")
_FINAL = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG)
_CLIENTS = ("aiohttp", "aiobotocore", "botocore", "fsspec", "gcsfs", "httpcore", "httpx", "huggingface_hub", "requests")
Result = TypeVar("Result")


class MissingSource(UserError):
    """A shard or an image that is not where it should be."""


class Entry(NamedTuple):
    """What a folder holds: a file, or a folder, and what changes when it does."""

    url: str
    is_file: bool
    stamp: str


def is_local(url: str) -> bool:
    """Whether a URL is a path of this machine."""
    return "://" not in url and not url.startswith(PIPE)


def absolute(url: str) -> str:
    """A local path from the root, as processes that began elsewhere need it; any other URL as it is."""
    return os.path.abspath(url) if is_local(url) else url  # noqa: PTH100 - Path resolves links, too


@contextmanager
def opened(url: str) -> Iterator[IO[bytes]]:
    """A file to read from its beginning, or, but for pipes, anywhere.

    Raises:
        MissingSource: there is none.
        UserError: access is refused, or a package for its protocol is missing.
        EnvironmentFault: it cannot be reached, or the command of a pipe fails.
    """
    if url.startswith(PIPE):
        with _piped(url) as pipe:
            yield pipe
    elif is_local(url):
        with _told(url):
            file = Path(url).open("rb")  # noqa: SIM115 - closed below; only opening is told
        with file:
            yield file
    else:
        with io.BufferedReader(_Steady(url), 1 << 16) as steady:
            yield steady


def read_small(url: str) -> bytes:
    """All bytes of a file; errors as `opened`."""
    with opened(url) as file:
        return file.read()


def stamp_of(url: str) -> str:
    """What changes when a file does: its size, and its etag or time of change; "" for a pipe.

    Raises:
        MissingSource: there is none.
        UserError: as `opened`.
    """
    if url.startswith(PIPE):
        return ""
    system, path = _reached(url)
    return _stamp(_patiently(lambda: system.info(path), url))


def listed(url: str) -> list[Entry]:
    """What lies right in a folder, or matches a pattern, sorted by its URL.

    Raises:
        MissingSource: there is no such folder.
        UserError: as `opened`, or there is no such bucket.
    """
    system, path = _reached(url)
    pattern = any(character in path for character in "*[")

    def infos() -> list[Any]:
        system.invalidate_cache(path)  # others may write there
        return list(system.glob(path, detail=True).values()) if pattern else list(system.ls(path, detail=True))

    found = _patiently(infos, url)
    if not found:
        _check_bucket(url)  # a pattern matches nothing in a bucket that is not there
    return sorted(Entry(_full(system, url, info["name"]), info["type"] == "file", _stamp(info)) for info in found)


@contextmanager
def storing(url: str) -> Iterator[IO[bytes]]:
    """A file to fill; it appears at `url` when the block ends well, and not at all otherwise.

    Raises:
        EnvironmentFault: it cannot be written.
        UserError: access is refused.
    """
    if is_local(url):
        with replacing(url) as file:
            yield file
        return
    with NamedTemporaryFile(prefix="promptmlr-") as file:  # an object store takes it whole, in one request that counts
        yield file
        file.flush()
        system, path = _reached(url)
        _patiently(lambda: system.put_file(file.name, path), url)


class _Steady(io.RawIOBase):
    """A remote file that is opened again where it was when the connection broke."""

    def __init__(self, url: str) -> None:
        self._url, self._at = url, 0
        self._file: Any = None
        self._system, self._path = _reached(url)
        self._size: int | None = self._again(lambda file: file.size)

    def _again(self, use: Callable[[Any], Result]) -> Result:
        def attempt() -> Result:
            try:
                if self._file is None:
                    self._file = self._system.open(
                        self._path, "rb", block_size=BLOCK, cache_type="background", cache_options={"maxblocks": 4}
                    )
                    if self._at:
                        self._file.seek(self._at)
                return use(self._file)
            except BaseException:
                self._file = None
                raise

        return _patiently(attempt, self._url)

    def readinto(self, buffer: Any) -> int:
        """As any file."""
        content = self._again(lambda file: file.read(len(buffer)))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As any file."""
        self._at = self._again(lambda file: file.seek(offset, whence))
        return self._at

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Where the server says how long the file is."""
        return self._size is not None

    def tell(self) -> int:
        """As any file."""
        return self._at

    def close(self) -> None:
        """As any file."""
        if self._file is not None:
            self._file.close()
        super().close()


@contextmanager
def _piped(url: str) -> Iterator[IO[bytes]]:
    """What a command of the shell writes, as webdataset has it; one that fails is an error.

    Raises:
        MissingSource: it failed, and what it wrote is of no use.
        EnvironmentFault: it failed after all was read.
    """
    with subprocess.Popen(url.removeprefix(PIPE), shell=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
            while process.stdout.read(1 << 16):
                pass
        except Exception as error:
            try:
                failed = process.wait(A_MOMENT) != 0
            except subprocess.TimeoutExpired:  # it would go on, or wait for somebody to read
                process.kill()
                raise error from None
            if failed:
                raise MissingSource(_left(url, process)) from error
            raise
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise EnvironmentFault(_left(url, process))


def _left(url: str, process: subprocess.Popen[bytes]) -> str:
    return f"{url}: the command left with {process.returncode}; try it in a shell"


def _reached(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path there."""
    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        raise UserError(f"{url}: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise UserError(f"{url}: {error}; known: {', '.join(sorted(fsspec.available_protocols()))}") from error
    return system, path


def _stamp(info: Mapping[str, Any]) -> str:
    """The size, and the first of the usual signs of a change."""
    return "-".join([str(info.get("size")), *(str(info[key]) for key in _STAMPS if info.get(key))][:2])


def _full(system: Any, url: str, path: str) -> str:
    return path if is_local(url) else str(system.unstrip_protocol(path))


def _patiently(work: Callable[[], Result], url: str) -> Result:
    """What `work` gives, perhaps not at the first attempt.

    Raises:
        MissingSource: there is no such file.
        UserError: access is refused.
        EnvironmentFault: it fails again and again.
    """
    for wait in WAITS:
        try:
            with _told(url):
                return work()
        except _PassingFault:
            time.sleep(wait)
    with _told(url):
        return work()


class _PassingFault(EnvironmentFault):
    """May not happen again."""


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Whatever a file system raises, as one line."""
    try:
        yield
    except (UserError, EnvironmentFault):
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        _check_bucket(url)
        raise MissingSource(f"{url}: no such file; name the shards that there are, or bring it back") from error
    except PermissionError as error:
        raise UserError(f"{url}: access is refused ({_short(error)}); renew the credentials, then repeat") from error
    except Exception as error:
        if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"):
            raise UserError(f"{url}: no credentials ({_short(error)}); log in, then repeat the command") from error
        known = isinstance(error, OSError | TimeoutError) or type(error).__module__.startswith(_CLIENTS)
        if not known:
            raise
        final = is_local(url) or (isinstance(error, OSError) and error.errno in _FINAL)
        kind = EnvironmentFault if final else _PassingFault
        raise kind(f"{url}: {_short(error)}; repeat the command to go on from here") from error


def _check_bucket(url: str) -> None:
    """Say so where not only the file is missing."""
    protocol, _, path = url.partition("://")
    if protocol in _BUCKETS:
        bucket = path.split("/")[0]
        try:
            there = _reached(url)[0].exists(bucket)
        except Exception:  # then nobody knows
            return
        if not there:
            raise UserError(f"{url}: there is no bucket {bucket!r}; look at its name, and at the endpoint")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
