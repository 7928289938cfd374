"""Labels as Python holds them: an array of 1, 0 and NaN, a table, or lists of class names; and images in memory."""

import hashlib
import math
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from promptmlr.data.formats.features import class_vectors, regions_from
from promptmlr.data.images import ImageFile, ImageRef
from promptmlr.data.options import DataOptions
from promptmlr.data.precomputed import Features, PrecomputedImage, precomputed_images
from promptmlr.data.rows import ListedRows, Names, labels_of_names
from promptmlr.errors import UserError, nearest
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.names import checked_class_names

__all__ = ["HeldImage", "Unlisted", "image_refs", "labels_from", "precomputed_features", "text_from"]

Unlisted = Literal["unknown", "absent"]


@dataclass(frozen=True, slots=True)
class HeldImage:
    """An image in memory."""

    name: str
    pixels: Image.Image

    def open(self) -> Image.Image:
        """The image, RGB."""
        return self.pixels.convert("RGB")

    def fingerprint(self, content: bool = False) -> str:  # noqa: ARG002
        """SHA-256 of size and pixels in any case."""
        image = self.open()
        return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()


def image_refs(images: Any) -> list[ImageRef]:
    """N images as a recognizer takes them.

    Args:
        images: a sequence of paths, PIL images, or (H, W, 3) uint8 arrays; or one (N, H, W, 3) uint8 array; or features
            instead of images, as one float array (N, D) or (N, R, D).

    Raises:
        UserError: it is something else, or there is none.
    """
    features = _feature_array(images)
    if features is not None:
        given = Features(regions_from(features, "X"))
        return list(precomputed_images(given, [f"image {row:06d}" for row in range(len(features))]))
    if isinstance(images, str | Path | Image.Image) or not isinstance(images, Iterable):
        raise UserError(f"images must be a sequence of paths, PIL images or arrays, not one {type(images).__name__}")
    found = [_image_ref(image, number) for number, image in enumerate(images)]
    if not found:
        raise UserError("there is no image; at least one is needed")
    return found


def precomputed_features(images: Sequence[ImageRef]) -> Features | None:
    """The features of what `image_refs` made of an array of features; None for images."""
    return images[0].features if isinstance(images[0], PrecomputedImage) else None


def text_from(text: Any, class_names: Sequence[str], width: int) -> dict[str, NDArray[np.float32]]:
    """Class name → (D,) text features, from a (C, D) array in the order of the classes; none from None.

    Raises:
        UserError: another shape, or numbers that are not finite.
    """
    return {} if text is None else class_vectors(np.asarray(text), class_names, width, "text")


def _feature_array(images: Any) -> NDArray[Any] | None:
    """X as one array of floating point numbers, where it is that: an array, a table, a tensor."""
    if not hasattr(images, "__array__") or isinstance(images, Image.Image):
        return None
    array = np.asarray(images)
    return array if array.dtype.kind == "f" and array.ndim in (2, 3) else None


def _image_ref(image: Any, number: int) -> ImageRef:
    if isinstance(image, str | Path):
        return ImageFile(Path(image))
    if isinstance(image, Image.Image):
        return HeldImage(f"image {number:06d}", image)
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3:
        raise UserError(
            f"image {number} is {type(image).__name__} of shape {array.shape} and type {array.dtype}; an image is a "
            "path, a PIL image or an (H, W, 3) uint8 array, and features are one float array (N, D) or (N, R, D)"
        )
    return HeldImage(f"image {number:06d}", Image.fromarray(array))


def labels_from(y: Any, class_names: Sequence[str] | None, unlisted: Unlisted | None) -> tuple[Labels, tuple[str, ...]]:
    """Labels and class names.

    Args:
        y: (N, C) array or nested lists of 1 (present), 0 (absent) and NaN or None (unknown); a pandas table of them,
            whose columns are the classes; or N lists of the names of what is present.
        class_names: C names; None takes a table's columns, or every name of the lists, sorted.
        unlisted: what a class that a list leaves out is; for lists alone, where it must be said.

    Returns:
        (N, C) int8 and C names.

    Raises:
        UserError: a cell is something else (-1 above all, which some take for absent and others for unknown), a name
            is none of the classes, the numbers of classes differ, or nobody says what is unlisted.
    """
    if unlisted not in (None, "unknown", "absent"):
        raise UserError(f"unlisted={unlisted!r}; {nearest(str(unlisted), ('unknown', 'absent'))}")
    if hasattr(y, "columns"):
        y, class_names = _ordered(y, class_names)
    rows = y.to_numpy() if hasattr(y, "to_numpy") else y
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        raise UserError(f"y must be an (N, C) array or N lists of class names, not {type(y).__name__}")
    rows = list(rows)
    if _holds_names(rows):
        return _from_lists(rows, class_names, unlisted)
    if unlisted is not None:
        raise UserError(
            "unlisted= is about lists of class names, and y holds numbers, where NaN is unknown; leave it out"
        )
    return _from_cells(rows, class_names)


def _ordered(table: Any, class_names: Sequence[str] | None) -> tuple[Any, Sequence[str]]:
    """A pandas table with its columns in the order of the classes, and these."""
    columns = dict(zip(checked_class_names(map(str, table.columns), "the columns of y"), table.columns, strict=True))
    names = tuple(columns) if class_names is None else checked_class_names(class_names)
    odd = sorted(set(names) ^ set(columns))
    if odd:
        raise UserError(f"the columns of y are not the classes: {odd[0]!r} is only among one of them")
    return table[[columns[name] for name in names]], names


def _holds_names(rows: Sequence[Any]) -> bool:
    """Whether rows are lists of class names; empty ones may be either, and alone are."""
    if any(isinstance(row, str | bytes) for row in rows):
        raise UserError(
            f"y[{next(i for i, row in enumerate(rows) if isinstance(row, str | bytes))}] is one text; write a "
            "list of class names for each image, such as ['dog', 'car'] or []"
        )
    if not all(isinstance(row, Iterable) for row in rows):
        raise UserError("y must have a row for each image: an (N, C) array, or N lists of class names")
    cells = [next(iter(row), "") for row in rows]
    return bool(rows) and all(isinstance(cell, str) for cell in cells)


def _from_lists(
    rows: Sequence[Iterable[str]], class_names: Sequence[str] | None, unlisted: Unlisted | None
) -> tuple[Labels, tuple[str, ...]]:
    if unlisted is None:
        raise UserError(
            "y lists what is present and is silent on the rest: unlisted='unknown' if nobody looked for it, "
            "unlisted='absent' if all that is not listed is known not to be there"
        )
    names = [Names(present=tuple(map(str, row))) for row in rows]
    listed = ListedRows(names, (), (), None, "lists", Path("y"), lambda row: f"y[{row}]", class_names)
    return labels_of_names(listed, DataOptions(unlisted=unlisted))


def _from_cells(rows: Sequence[Any], class_names: Sequence[str] | None) -> tuple[Labels, tuple[str, ...]]:
    rows = [list(row) for row in rows]
    if class_names is None:
        raise UserError("class_names is missing, and CLIP has to read them: one name for each column of y")
    names = checked_class_names(class_names, "class_names")
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise UserError(f"y[{number}] has {len(row)} cells, and there are {len(names)} classes")
    array = np.array(rows)
    if array.dtype.kind in "biuf" and (np.isnan(array) | (array == PRESENT) | (array == ABSENT)).all():
        return np.where(np.isnan(array), UNKNOWN, np.nan_to_num(array)).astype(np.int8), names
    cells = [[_code(cell, number, column) for column, cell in enumerate(row)] for number, row in enumerate(rows)]
    return np.array(cells, np.int8).reshape(len(rows), len(names)), names


def _code(cell: Any, number: int, column: int) -> int:
    if cell is None or type(cell).__name__ == "NAType":
        return UNKNOWN
    if isinstance(cell, numbers.Real | np.bool_):
        if math.isnan(cell):
            return UNKNOWN
        if cell in (0, 1):
            return PRESENT if cell else ABSENT
    hint = "-1 means absent to some and unknown to others: " if cell in (-1, "-1") else ""
    raise UserError(f"y[{number}, {column}] is {cell!r}; {hint}write 1 for present, 0 for absent, NaN for unknown")
