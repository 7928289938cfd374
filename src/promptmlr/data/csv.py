"""A data set as a CSV file: 1 present, 0 absent, blank unknown."""

from pathlib import Path

import numpy as np

from promptmlr.data.images import ImageFile
from promptmlr.data.labelled import LabelledImages, require_files
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.data.table import LabelTable, read_table
from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN

__all__ = ["read_csv"]

_CODES = {
    **dict.fromkeys(("1", "1.0", "y", "true"), PRESENT),
    **dict.fromkeys(("0", "0.0", "n", "false"), ABSENT),
    **dict.fromkeys(("", "nan"), UNKNOWN),
}
_SPLITS = {"train": ("train",), "test": ("test", "val")}


def read_csv(
    path: Path, split: str | None, purpose: Purpose, images: Path | None, _options: DataOptions
) -> LabelledImages:
    """Read a CSV with column `image`, optional `split` and one column per class.

    Cells are 1/0, y/n, true/false; blank or NaN is unknown. The whole file is checked, also rows of other splits.

    Args:
        path: the file.
        split: the value of the column `split`; by default that of `purpose`, or all rows where there is no such column.
        purpose: "train" reads the rows train, "test" the rows test or else val.
        images: the folder that image paths are relative to, by default that of the file.

    Raises:
        UserError: see `read_table`; a bad cell; an image file or the split is missing.
    """
    table = read_table(path, images)
    labels = table.decode(_CODES, _hint)
    split, notes = _choose_split(table, split, purpose)
    chosen = [i for i in range(len(table.rows)) if table.splits is None or table.splits[i] == split]
    if len(chosen) < len(table.rows):
        notes.append(f"{len(table.rows) - len(chosen)} rows of other splits are not used")
    files = [ImageFile((images or path.parent) / table.image_ids[i]) for i in chosen]
    require_files(files, lambda i: f"{path}, row {table.rows[chosen[i]]}")
    return LabelledImages.from_rows(
        [table.image_ids[i] for i in chosen],
        files,
        labels[np.array(chosen)],
        table.class_names,
        f"CSV {path}, " + ("all rows" if split is None else f"split {split}"),
        notes,
    )


def _choose_split(table: LabelTable, split: str | None, purpose: Purpose) -> tuple[str | None, list[str]]:
    """The split to read (None: all rows), and what to say about it."""
    if table.splits is None:
        if split is not None:
            raise UserError(f"{table.path}: no column 'split', so split {split!r} cannot be chosen; add the column")
        return None, [f"no column 'split': all {len(table.rows)} rows are used"]
    wanted = _SPLITS[purpose] if split is None else (split,)
    for name in wanted:
        if name in table.splits:
            return name, [] if name == wanted[0] else [f"no rows of split {wanted[0]!r}: those of {name!r} are used"]
    names = " or ".join(repr(name) for name in wanted)
    known = ", ".join(repr(name) for name in sorted(set(table.splits)))
    raise UserError(f"{table.path}: no rows of split {names}; the column holds {known}; choose one with --split")


def _hint(cell: str) -> str:
    if cell in ("-1", "-1.0"):
        return "-1 means absent to some and unknown to others: write 0 for absent, leave the cell blank for unknown"
    return (
        "write 1 for present, 0 for absent, leave the cell blank for unknown "
        "(every column but image and split is read as a class)"
    )
