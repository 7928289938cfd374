"""Where the names of a table's columns are: in its first row, below titles and comments, or in `--header` alone."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from promptmlr.data.columns import IMAGES, folded, is_image_name
from promptmlr.errors import UserError
from promptmlr.options.data import DataOptions, Unclear, between_commas, with_commas

__all__ = ["LOOKED_AT", "heading", "is_filled", "names_images", "titles"]

LOOKED_AT = 30  # rows, among which the names are
_SEP = ["sep=", ""]  # what Excel reads in a first line, as its delimiter cuts it
_CODES = {"", "0", "1", "-1", "0.0", "1.0", "-1.0", "true", "false", "yes", "no"}
_SPLITS = {"train", "val", "valid", "validation", "test"}


def is_filled(row: Sequence[str]) -> bool:
    """Whether there is anything in a row."""
    return any(row) and row != _SEP


def heading(path: Path, rows: Sequence[list[str]], options: DataOptions) -> tuple[list[str], int, int]:
    """The names of the columns, how many rows are above them, and how many above the first image.

    Args:
        path: the file, for messages.
        rows: the first ones, at most `LOOKED_AT`.
        options: `header`, for tables that name no columns.

    Raises:
        UserError: there is nothing in these rows, or `--header` does not fit them.
        Unclear: the first row names an image already.
    """
    place = titles(rows)
    if not any(any(map(str.strip, row)) for row in rows):
        raise UserError(f"{path}: the file is empty; it needs a column image and one column per class")
    row = [cell.strip() for cell in rows[place]]
    bare = any(map(is_image_name, row)) and not names_images(row)
    if options.header is not None and (bare or "header" not in options.inherited):
        names = between_commas(options.header)
        if len(names) != len(row):
            raise UserError(f"{path}, row {place + 1}: {len(row)} cells, and --header names {len(names)} columns")
        return names, place, place
    if bare:
        proposed = _proposed([one for one in rows[place:] if len(one) == len(row)])
        problem = f"{path}: no row names the columns; the first one is {', '.join(row[:4])}"
        if "class-1" in proposed:
            problem += " (give the classes their own names)"
        listed = next((name for name in proposed if name in ("label", "labels")), None)
        fields = {"header": with_commas(proposed), **({"label_column": listed} if listed else {})}
        raise Unclear(problem, {"these are the columns": fields})
    return row, place, place + 1


def titles(rows: Sequence[Sequence[str]]) -> int:
    """How many of the first rows are blank, or titles, comments and names for several columns, above the names."""
    filled = [place for place, row in enumerate(rows) if is_filled(row) and any(map(str.strip, row))]
    above: list[int] = []
    for place in filled:
        if names_images(rows[place]) and all(_may_be_title(rows[one], rows[place]) for one in above):
            return place
        above.append(place)
    widest = max((_count(rows[place]) for place in filled), default=0)
    below = dict(pairwise(filled))
    for place in filled:
        row, after = rows[place], rows[below.get(place, place)]
        comment = row[0].lstrip().startswith("#") and len(row) != len(after)
        if any(map(is_image_name, row)) or not (comment or _count(row) == 1 < widest):
            return place
    return filled[-1] if filled else 0


def _may_be_title(row: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a row above the names may be something else than an image with its labels."""
    cells = {cell.strip().lower() for cell in row} - {""}
    return row[0].lstrip().startswith("#") or (
        _count(row) <= _count(names) and not cells & _CODES and not any(map(is_image_name, cells))
    )


def _count(row: Sequence[str]) -> int:
    """Of filled cells."""
    return sum(bool(cell.strip()) for cell in row)


def names_images(row: Sequence[str]) -> bool:
    """Whether a cell is a usual name for a column of images."""
    return any(folded(cell.lstrip("# ")) in IMAGES for cell in row)


def _proposed(rows: Sequence[list[str]]) -> list[str]:
    """Names for columns without, by what is in them."""
    columns = [[cell.strip() for cell in column] for column in zip(*rows, strict=True)]
    image = next(place for place, cells in enumerate(columns) if is_image_name(cells[0]))
    names, classes = [], 0
    for place, cells in enumerate(columns):
        if place == image:
            names.append("image")
        elif {cell.lower() for cell in cells} <= _CODES:
            classes += 1
            names.append(f"class-{classes}")
        elif {cell.lower() for cell in cells} <= _SPLITS:
            names.append("split")
        else:
            names.append(f"column-{place + 1}")
    texts = [place for place, name in enumerate(names) if name.startswith("column-")]
    if len(texts) == 1 and not classes:
        names[texts[0]] = "label" if len(set(columns[image])) < len(columns[image]) else "labels"
    return names
