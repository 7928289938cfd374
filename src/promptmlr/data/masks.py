"""Mask files: which labels a learner may see, drawn elsewhere."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from promptmlr.data.codes import cell_key
from promptmlr.data.columns import columns_of
from promptmlr.data.options import DataOptions
from promptmlr.data.rows import check_rows
from promptmlr.data.table import Table, read_table
from promptmlr.data.unclear import broken_cells
from promptmlr.errors import UserError
from promptmlr.labels import Keep
from promptmlr.names import checked_class_names

__all__ = ["load_keep_mask"]


def load_keep_mask(
    path: Path,
    image_ids: Sequence[str],
    class_names: Sequence[str],
    annotation_order: NDArray[np.intp] | None,
    unknown_code: str | None = None,
) -> Keep:
    """Read a mask and bring it into the order of a data set.

    - `.pt`, as the released code writes it: (N, C), (N, 1, C) or (N, 3, C) with equal rows, 1 kept and 0 hidden, images
      in the order of the annotation file.
    - `.npy`: (N, C) bool, images sorted by id.
    - `.csv`: column `image` and one per class, 1 kept and 0 hidden; with `unknown_code` it holds labels instead, and
      those that differ from the code are kept. Rows of other images and columns of other classes are ignored.

    Args:
        path: the file.
        image_ids: N sorted ids.
        class_names: C names.
        annotation_order: (N,) the row of each image in the annotation file.
        unknown_code: how a CSV of labels writes unknown, such as "-1", "0" or "". Repositories contradict each other
            on -1 and 0, so it is never guessed.

    Returns:
        (N, C) bool, True where the label is kept.

    Raises:
        UserError: the file cannot be read, does not fit the data, or its code is unclear.
    """
    suffix, shape = path.suffix.lower(), (len(image_ids), len(class_names))
    if unknown_code is not None and suffix != ".csv":
        raise UserError(f"{path}: --unknown-code is for masks in a CSV of labels; leave it out")
    if suffix == ".pt":
        return _from_released(path, shape, annotation_order)
    if suffix == ".npy":
        return _from_array(path, shape)
    if suffix == ".csv":
        return _from_table(read_table(path), image_ids, class_names, unknown_code)
    raise UserError(f"{path}: a mask is a .pt, .npy or .csv file, not {suffix or 'without suffix'}")


def _from_released(path: Path, shape: tuple[int, int], annotation_order: NDArray[np.intp] | None) -> Keep:
    try:
        with warnings.catch_warnings(action="ignore"):  # of tensors that are refused below
            mask = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # torch raises anything from EOFError to UnpicklingError for a file of another kind
        raise UserError(f"{path}: not a tensor saved by torch") from error
    if not isinstance(mask, torch.Tensor):
        raise UserError(f"{path}: holds a {type(mask).__name__}, not a tensor")
    if mask.layout != torch.strided or mask.is_meta or mask.is_quantized or mask.is_complex():
        raise UserError(f"{path}: not a plain tensor ({mask.dtype}, {mask.layout}, {mask.device}); save a dense one")
    rows = mask.detach().float().numpy()
    if rows.ndim == 3 and rows.shape[1]:
        if (rows != rows[:, :1]).any():
            raise UserError(f"{path}: the {rows.shape[1]} rows of an image differ in a mask of shape {rows.shape}")
        rows = rows[:, 0]
    _require_shape(path, rows, shape)
    if not np.isin(rows, (0, 1)).all():
        raise UserError(f"{path}: a keep mask holds 1 (kept) and 0 (hidden) alone")
    if annotation_order is None:
        raise UserError(f"{path}: a .pt mask is for a whole data set, whose annotation file gives the order")
    return np.asarray(rows[annotation_order] == 1)


def _from_array(path: Path, shape: tuple[int, int]) -> Keep:
    try:
        # Mapped, not read: a damaged header may ask for terabytes.
        mask = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # damaged headers raise anything from EOFError to TokenError
        reason = getattr(error, "strerror", None) or "not a NumPy array, or cut short"
        raise UserError(f"cannot read {path}: {reason}") from error
    if mask.dtype != np.bool_:
        raise UserError(f"{path}: not an array of bool, True where the label is kept")
    _require_shape(path, mask, shape)
    return np.array(mask)


def _require_shape(path: Path, mask: NDArray[np.generic], shape: tuple[int, int]) -> None:
    if mask.shape != shape:
        raise UserError(f"{path}: a mask of shape {mask.shape} does not fit {shape[0]} images and {shape[1]} classes")


def _from_table(table: Table, image_ids: Sequence[str], class_names: Sequence[str], unknown_code: str | None) -> Keep:
    """Kept cells decode to 1, the others to 0."""
    codes = {"1": 1, "0": 0} if unknown_code is None else {"1": 1, "0": 1, "-1": 1, cell_key(unknown_code): 0}
    columns = columns_of(table.path, table.header, DataOptions(), table.column)
    image_ids_there = table.column(columns.image)
    check_rows(table.path, image_ids_there, table.where)
    keep, broken = table.decode(columns.rest, lambda cell: codes.get(cell_key(cell)))
    if len(broken):
        cell = table.texts[table.cells[broken[0, 0], columns.rest[broken[0, 1]]]]
        hint = _hint(cell) if unknown_code is None else "labels are 1, 0, -1 or what --unknown-code says"
        raise UserError(f"{broken_cells(table, columns.rest, broken)}; {hint}")
    present = checked_class_names(columns.names(columns.rest), str(table.path))
    rows = _positions(table.path, "image", image_ids, image_ids_there)
    places = _positions(table.path, "class", class_names, present)
    return np.asarray(keep[np.ix_(rows, places)] == 1)


def _positions(path: Path, kind: str, wanted: Sequence[str], present: Sequence[str]) -> list[int]:
    positions = {name: position for position, name in enumerate(present)}
    missing = [name for name in wanted if name not in positions]
    if missing:
        raise UserError(f"{path}: no {kind} {missing[0]!r} ({len(missing)} of {len(wanted)} are missing)")
    return [positions[name] for name in wanted]


def _hint(cell: str) -> str:
    if cell in ("-1", ""):
        return (
            "a mask is 1 (kept) or 0 (hidden); if these are labels, say how they write unknown: --unknown-code=-1 "
            "(DualCoOp, CSL; 0 is absent), --unknown-code=0 (TaI-DPT, HCP-MLR-PL; -1 is absent) or --unknown-code=''"
        )
    return "a mask is 1 (kept) or 0 (hidden)"
