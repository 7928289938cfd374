"""A data set as a CSV file: 1 present, 0 absent, blank unknown."""

import csv
from pathlib import Path

from promptmlr.data.formats.base import Format, Writer
from promptmlr.data.images import ImageFile
from promptmlr.data.options import DataOptions
from promptmlr.data.output import Output
from promptmlr.data.rows import LabelledRows
from promptmlr.data.table import read_table
from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN

__all__ = ["CODES", "FORMAT", "code_hint", "read_csv_rows", "write_csv"]

CODES = {
    **dict.fromkeys(("1", "1.0", "y", "yes", "true"), PRESENT),
    **dict.fromkeys(("0", "0.0", "n", "no", "false"), ABSENT),
    **dict.fromkeys(("", "nan"), UNKNOWN),
}
"""What a cell says, in small letters and without spaces around."""


def read_csv_rows(path: Path, images: Path | None, _options: DataOptions) -> LabelledRows:
    """Read a CSV with column `image`, optional `split` and one column per class.

    Cells are 1/0, y/n, yes/no, true/false; blank or NaN is unknown. The whole file is checked, also other splits' rows.

    Args:
        path: the file.
        images: the folder that image paths are relative to, by default that of the file.

    Raises:
        UserError: see `read_table`; a bad cell.
    """
    table = read_table(path, images)
    folder = images or path.parent
    return LabelledRows(
        table.image_ids,
        [ImageFile(folder / image_id) for image_id in table.image_ids],
        table.decode(CODES, code_hint),
        table.class_names,
        table.splits,
        "CSV",
        path,
        lambda i: f"{path}, row {table.rows[i]}",
    )


def write_csv(output: Output) -> list[str]:
    """Write the same: every class as a column, in the order of the data."""
    names = ["image", *(["split"] if output.has_splits else []), *output.class_names]
    for taken in ("image", "split"):
        if taken in output.class_names:
            raise UserError(f"a column {taken!r} cannot hold the class {taken!r}; rename the class, or --to long-csv")
    cells = {PRESENT: "1", ABSENT: "0", UNKNOWN: ""}
    with output.table() as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for split, name, labels in output.rows():
            row = [cells[code] for code in labels.tolist()]
            writer.writerow([name, *([split] if output.has_splits else []), *row])
    return []


def code_hint(cell: str) -> str:
    """What to write instead of a cell that is no label."""
    if cell in ("-1", "-1.0"):
        return "-1 means absent to some and unknown to others: write 0 for absent, leave the cell blank for unknown"
    return (
        "write 1 for present, 0 for absent, leave the cell blank for unknown "
        "(every column but image and split is read as a class)"
    )


FORMAT = Format(
    "csv",
    "a table with a row per image, a column image and one column per class",
    lambda source: source.suffix == ".csv",
    read_csv_rows,
    weak=True,
    says_all=True,
    writer=Writer(write_csv, ".csv"),
)
