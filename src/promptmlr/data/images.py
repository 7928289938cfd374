"""Image files in any of the usual encodings, as 8-bit RGB; and finding them in folders."""

import contextlib
import errno
import glob
import hashlib
import io
import itertools
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from promptmlr.errors import UnreadableImage, UserError
from promptmlr.names import shown

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "ImageFile",
    "ImageRef",
    "SizedImage",
    "UnreadableImage",
    "find_images",
    "image_format",
    "image_from_bytes",
    "open_image",
    "spread",
]

_MAX_SCANS = 100  # a progressive JPEG has about ten; each goes over all pixels, and an empty one takes 75 bytes
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")  # of a JPEG's segments: not a stuffed byte, not a restart

# Only these decoders are tried: others (EPS, for one) start programs outside.
_FORMATS = {
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".pgm": "PPM",
    ".png": "PNG",
    ".ppm": "PPM",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
_SUFFIXES = {kind: suffix for suffix, kind in reversed(_FORMATS.items())} | {"JPEG": ".jpg", "TIFF": ".tif"}
IMAGE_SUFFIXES = frozenset(_FORMATS)
MAX_PIXELS = 178_956_970


class ImageRef(Protocol):
    """An image that is read when it is needed; small, and picklable for loader processes."""

    @property
    def name(self) -> str:
        """What to call it in messages and tables."""

    def open(self) -> Image.Image:
        """The image, RGB, upright; raises `UnreadableImage`."""

    def fingerprint(self, content: bool = False) -> str:
        """Hex digits that change when the image does, by its bytes under `content`; raises `UnreadableImage`."""


@runtime_checkable
class SizedImage(Protocol):
    """An image that knows how large its objects are."""

    def object_sizes(self) -> Mapping[str, float]:
        """Class name → share of the image that its largest object covers."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image in a file."""

    path: Path

    @property
    def name(self) -> str:
        """The path as it was given, as text that can be written down."""
        return shown(self.path)

    def exists(self) -> bool:
        """Whether there is such a file, readable or not."""
        return os.path.isfile(self.path)  # noqa: PTH113 - Path.is_file raises for a name that is too long

    def open(self) -> Image.Image:
        """The image as `open_image` reads it."""
        return open_image(self.path)

    def content(self) -> bytes:
        """The bytes of the file; raises `UnreadableImage`."""
        try:
            _file_status(self.path)
            return self.path.read_bytes()
        except (OSError, ValueError) as error:
            raise UnreadableImage(f"{self.name}: {_reason(error)}") from error

    def fingerprint(self, content: bool = False) -> str:
        """SHA-256 of resolved path, size and time of change; under `content` of the bytes, wherever they lie."""
        try:
            status = _file_status(self.path)
            if content:
                with self.path.open("rb") as file:
                    return hashlib.file_digest(file, "sha256").hexdigest()
            path = os.path.realpath(self.path)
        except (OSError, ValueError) as error:
            raise UnreadableImage(f"{self.name}: {_reason(error)}") from error
        identity = f"{path}\0{status.st_size}\0{status.st_mtime_ns}"
        return hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()


class _Quiet:
    """No warnings while any thread decodes: odd metadata makes Pillow warn file after file, and only pixels count.

    `warnings.catch_warnings` alone does not bear threads, so the first thread in enters it and the last one leaves it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._caught is None:
                self._caught = warnings.catch_warnings(action="ignore")
                self._caught.__enter__()

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._caught is not None:
                self._caught.__exit__(None, None, None)
                self._caught = None


_quiet = _Quiet()


def open_image(path: str | Path, least: int | None = None) -> Image.Image:
    """Read an image as a browser would show it on a white page: the first frame, upright, 8-bit RGB.

    EXIF rotation is applied, alpha is laid over white, 16-bit greys are scaled from 0..65535 to 0..255.

    Args:
        path: of the file.
        least: a JPEG may be read at an eighth, a quarter or a half of its size, several times faster, as long as both
            sides keep that many pixels.

    Raises:
        UnreadableImage: see there. The size is checked before a pixel is decoded.
    """
    try:
        _file_status(path)
        return _decoded(path, least, MAX_PIXELS)
    except (UnreadableImage, MemoryError):
        raise
    except Exception as error:  # damaged bytes make decoders raise anything from EOFError to SyntaxError
        raise UnreadableImage(f"{shown(path)}: {_reason(error, MAX_PIXELS)}") from error


def image_from_bytes(content: bytes, name: str, least: int | None = None, max_pixels: int | None = None) -> Image.Image:
    """The same of an image file's bytes.

    Args:
        content: of the file.
        name: what messages call it.
        least: see there.
        max_pixels: it must not have more; None: `MAX_PIXELS`.

    Raises:
        UnreadableImage: see there.
    """
    most = MAX_PIXELS if max_pixels is None else max_pixels
    if _scans(content) > _MAX_SCANS:
        raise UnreadableImage(f"{name}: a JPEG of more than {_MAX_SCANS} scans")
    try:
        return _decoded(io.BytesIO(content), least, most)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableImage(f"{name}: {_reason(error, most)}") from error


def _scans(content: bytes) -> int:
    """How many scans a JPEG has; 0 of any other file. What follows its end, a film for one, is not looked at."""
    count, at = 0, 2
    while content.startswith(b"\xff\xd8") and (found := _MARKER.search(content, at)):
        if found[1] == b"\xd9":
            break
        count += found[1] == b"\xda"
        at = found.end() + int.from_bytes(content[found.end() : found.end() + 2])
    return count


def image_format(content: bytes) -> str | None:
    """The usual suffix of an image file of these bytes, such as ".jpg"; None where they are no such image."""
    try:
        with _quiet, Image.open(io.BytesIO(content), formats=_decoders()) as image:
            return _SUFFIXES[str(image.format)]
    except Exception:  # as above
        return None


def _decoded(file: str | Path | io.BytesIO, least: int | None, most: int) -> Image.Image:
    with _quiet, Image.open(file, formats=_decoders()) as image:
        if image.width * image.height > most:
            raise Image.DecompressionBombError
        if least is not None:
            image.draft(None, (least, least))
        image.load()
        return _to_rgb(_upright(image))


def find_images(arguments: Sequence[str | Path]) -> Iterator[Path]:
    """The images that files, folders and glob patterns name, in the order of the arguments.

    Folders are searched to their depth, sorted by name, without hidden entries and linked folders; only
    `IMAGE_SUFFIXES` count there and in patterns. A file named outright is taken whatever its suffix. Folders are
    listed one at a time, as they are reached.

    Raises:
        UserError: at the call, for an argument that does not exist or holds no image.
    """
    try:
        return itertools.chain.from_iterable([_expand(argument) for argument in arguments])
    except OSError as error:  # a name too long, a folder that may not be entered
        raise UserError(f"{shown(error.filename)}: {error.strerror}") from error


def spread(images: Iterable[Path], most: int) -> list[Path]:
    """At most so many of a stream, and at least half as many, as evenly as if their number had been known."""
    kept: list[Path] = []
    step = 1
    for number, image in enumerate(images):
        if number % step == 0:
            kept.append(image)
        if len(kept) > most:
            kept, step = kept[::2], 2 * step
    return kept


def _file_status(path: str | Path) -> os.stat_result:
    """Of a file that can be opened and named in a table; an error for any other: a pipe would be waited for."""
    os.fspath(path).encode()
    status = os.stat(path)  # noqa: PTH116 - a Path for each of a million images costs more than the call
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "no file, but a directory, a pipe or a device")
    return status


def _decoders() -> tuple[str, ...]:
    return tuple(dict.fromkeys(_FORMATS.values()))


def _upright(image: Image.Image) -> Image.Image:
    with contextlib.suppress(Exception):  # a damaged EXIF block is no reason to lose the pixels
        return ImageOps.exif_transpose(image)
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its floating-point pixels have no known range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        return _from_16_bit(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError("its 32-bit pixels exceed 0..65535; save it with 8 or 16 bits")
    return Image.fromarray(((pixels * 255 + 32767) // 65535).astype(np.uint8))


def _reason(error: Exception, most: int = MAX_PIXELS) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnicodeEncodeError):
        return "its name is not UTF-8; rename it"
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or damaged at its start"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {most:,} pixels, refused as a possible decompression bomb; make it smaller"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "cannot be decoded: " + (" ".join(str(error).split()) or type(error).__name__)


def _expand(argument: str | Path) -> Iterator[Path]:
    path = Path(argument)
    if path.is_dir():
        found, missing = _walk(path), f"no image in folder {argument}"
    elif path.exists():
        return iter([path])
    elif glob.has_magic(str(argument)):
        found, missing = _matches(str(argument)), f"no image matches {argument}"
    else:
        raise UserError(f"{argument}: no such file or folder")
    first = next(found, None)
    if first is None:
        tars = f"; for the tars in it name '{path}/*.tar'" if next(path.glob("*.tar"), None) else ""
        raise UserError(f"{missing}; looked for {' '.join(sorted(IMAGE_SUFFIXES))}{tars}")
    return itertools.chain([first], found)


def _walk(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as listing:
            # Names alone: a folder may hold a million.
            entries = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in listing if _counts(entry))
    except OSError as error:
        raise UserError(f"cannot list folder {folder}: {error.strerror}") from error
    for name, is_folder in entries:
        if is_folder:
            yield from _walk(folder / name)
        else:
            yield folder / name


def _counts(entry: os.DirEntry[str]) -> bool:
    """Folders, and images that are files or links: neither pipes nor sockets, whatever their name."""
    if entry.name.startswith("."):
        return False
    if entry.is_dir(follow_symlinks=False):
        return True
    return _is_image(entry.name) and (entry.is_file(follow_symlinks=False) or entry.is_symlink())


def _matches(pattern: str) -> Iterator[Path]:
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
    return (Path(match) for match in found if _is_image(match))


def _is_image(name: str) -> bool:
    return name.lower().endswith(tuple(IMAGE_SUFFIXES))
