"""A CSV with a list of names per image, as fastai reads it: columns image, labels, perhaps negatives and is_valid.

fastai's own tables (`fname,labels,is_valid` of PASCAL 2007, `image_name,tags` of Planet) are read as they are.
"""

import csv
from pathlib import Path

from promptmlr.data.formats.base import Format, Writer
from promptmlr.data.images import ImageFile
from promptmlr.data.options import DataOptions
from promptmlr.data.output import Output
from promptmlr.data.rows import LabelledRows, Names, rows_of_names
from promptmlr.data.table import Records, read_records
from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT
from promptmlr.names import first_names

__all__ = ["FORMAT", "is_list", "read_list_csv_rows", "write_list_csv"]

_IMAGES = ("image", "fname", "image_name", "file_name", "filename")
_LABELS = ("labels", "tags")
_NEGATIVES = "negatives"
_SPLITS = ("split", "is_valid")
_DELIMITERS = ("|", ";", ",", "\t")
_SHOWN = {"\t": "a tab", " ": "a space"}


def is_list(header: list[str]) -> bool:
    """Whether a CSV with these columns is one: an image, a list, and nothing but `negatives` and a split beside."""
    names = set(header)
    return (
        any(name in names for name in _IMAGES)
        and any(name in names for name in _LABELS)
        and names <= {*_IMAGES, *_LABELS, _NEGATIVES, *_SPLITS}
    )


def read_list_csv_rows(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read a CSV with a column of images, one of lists of names (`labels` or `tags`) and one of splits.

    Names are apart by `options.delimiter`; left open, that is the one of | ; , and tab that occurs. A column
    `negatives` lists classes that are absent: then the unlisted are unknown. `is_valid` is true for the split "valid".

    Args:
        path: the file.
        images: the folder that image paths are relative to, by default that of the file.
        options: `unlisted` and `delimiter`.

    Raises:
        UserError: the file cannot be read or lacks a column; the delimiter, or what is unlisted, is unclear.
    """
    records = read_records(path)
    image = _one_of(records, _IMAGES)
    listed = [_one_of(records, _LABELS), *([_NEGATIVES] if _NEGATIVES in records.header else [])]
    cells = [records.column(name) for name in listed]
    delimiter = options.delimiter or _delimiter(path, {cell for column in cells for cell in column})
    lists = [[_parts(cell, delimiter) for cell in column] for column in cells]
    image_ids = records.column(image)
    folder = images or path.parent
    extra = [name for name in records.header if name not in (image, *listed, *_SPLITS)]
    said = [] if delimiter is None else [f"names are apart by {_SHOWN.get(delimiter, delimiter)}"]
    return rows_of_names(
        [Names(*both) for both in zip(*lists, strict=True)],
        image_ids,
        [ImageFile(folder / image_id) for image_id in image_ids],
        splits=_splits(records),
        kind="list CSV",
        path=path,
        where=records.where,
        options=options,
        says_absent=len(lists) == 2,
        notes=[*said, *([f"columns that are not used: {first_names(extra)}"] if extra else [])],
    )


def write_list_csv(output: Output) -> list[str]:
    """Write `labels`, and `negatives` where absent and unknown labels are to be told apart."""
    delimiter = next((mark for mark in _DELIMITERS if not any(mark in name for name in output.class_names)), None)
    if delimiter is None:
        raise UserError("every usual delimiter is in some class name, so lists of them cannot be read; --to long-csv")
    partial = bool(output.unknown and output.absent)
    codes = (PRESENT, ABSENT) if partial else (PRESENT,)
    with output.table() as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["image", "labels", *([_NEGATIVES] if partial else []), *(["split"] if output.has_splits else [])]
        )
        for split, name, labels in output.rows():
            lists = [delimiter.join(output.names(labels, code)) for code in codes]
            writer.writerow([name, *lists, *([split] if output.has_splits else [])])
    return [f"names are apart by {_SHOWN.get(delimiter, delimiter)}; it is read back with --delimiter '{delimiter}'"]


def _one_of(records: Records, known: tuple[str, ...]) -> str:
    found = [name for name in known if name in records.header]
    if len(found) != 1:
        what = "no column" if not found else "more than one column"
        raise UserError(f"{records.path}: {what} among {first_names(known)}; name one of them so in the header")
    return found[0]


def _delimiter(path: Path, cells: set[str]) -> str | None:
    """The delimiter that occurs; None where every cell holds one name at most."""
    found = [mark for mark in _DELIMITERS if any(mark in cell for cell in cells)]
    if len(found) == 1:
        return found[0]
    if found:
        first, second = (_SHOWN.get(mark, mark) for mark in found[:2])
        raise UserError(
            f"{path}: its lists hold both {first} and {second}: say which one stands between names with "
            f"--delimiter '{found[0]}' or --delimiter '{found[1]}'"
        )
    spaced = next((cell for cell in sorted(cells) if " " in cell), None)
    if spaced is not None:
        raise UserError(
            f"{path}: {spaced!r} may be {len(spaced.split())} names or one: --delimiter ' ' if spaces stand between "
            "names, --delimiter '|' if they are inside names"
        )
    return None


def _parts(cell: str, delimiter: str | None) -> list[str]:
    parts = [cell] if delimiter is None else cell.split(delimiter)
    return [clean for part in parts if (clean := part.strip())]


def _splits(records: Records) -> list[str] | None:
    if "split" in records.header:
        return records.column("split")
    if "is_valid" not in records.header:
        return None
    words = {"true": "valid", "1": "valid", "false": "train", "0": "train", "": "train"}
    splits = []
    for row, cell in enumerate(records.column("is_valid")):
        if cell.lower() not in words:
            raise UserError(f"{records.where(row)}, column 'is_valid': cannot read {cell!r}; write True or False")
        splits.append(words[cell.lower()])
    return splits


FORMAT = Format(
    "list-csv",
    "a table with a row per image and a column labels, which lists what is present",
    lambda source: is_list(source.header),
    read_list_csv_rows,
    writer=Writer(write_list_csv, ".csv", lists=True, negatives=True, class_list=False),
)
