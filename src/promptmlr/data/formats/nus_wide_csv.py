"""NUS-WIDE as one CSV, `nus_wid_data.csv`: image, a list of its concepts as Python writes it, and train or val.

The authors of ASL published this file; readers take its columns by their place: the path of an image,
`['clouds', 'sky']`, and the split (zhongjingyu1/CoNeS, `pipeline/nuswide.py`, and its README for the address). A
concept that is not listed is asked for by `--unlisted`; benchmarks take it for absent.
"""

import ast
from pathlib import Path

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import Format, Source
from promptmlr.data.options import DataOptions
from promptmlr.data.rows import LabelledRows, ListedRows, Names
from promptmlr.data.table import read_table
from promptmlr.errors import UserError

__all__ = ["FILE", "FORMAT", "read_nus_wide_csv"]

FILE = "nus_wid_data.csv"
_SPLITS = ("train", "val")


def read_nus_wide_csv(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read all images of both splits.

    Args:
        path: the file.
        images: the folder that its paths start from, by default that of the file.
        options: `unlisted`.

    Raises:
        UserError: the file is damaged or something else, or silence is unclear.
    """
    table = read_table(path, options)
    if len(table.header) != 3:
        raise UserError(f"{path}: {len(table.header)} columns, where an image, its concepts and its split are expected")
    image_ids, listed, splits = (table.column(column) for column in range(3))
    for row, split in enumerate(splits):
        if split not in _SPLITS:
            raise UserError(f"{table.where(row)}: {split!r} is neither train nor val")
    finder = ImageFinder(images or path.parent)
    return ListedRows(
        [Names(_concepts(cell, table.where(row))) for row, cell in enumerate(listed)],
        image_ids,
        [finder.find(image_id, table.where(row)) for row, image_id in enumerate(image_ids)],
        splits=splits,
        kind="NUS-WIDE",
        path=path,
        where=table.where,
    ).labelled(options)


def _concepts(cell: str, where: str) -> list[str]:
    try:
        found = ast.literal_eval(cell)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        found = None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise UserError(f"{where}: {cell!r} is no list of concepts such as ['clouds', 'sky']")
    return found


def _is_it(source: Source) -> bool:
    return source.path.name == FILE and source.path.is_file()


FORMAT = Format("nus-wide-csv", f"NUS-WIDE's {FILE}, as ASL's code reads it", _is_it, read_nus_wide_csv)
