"""Where the names of a table's columns are: in its first row, below titles and comments, or in `--header` alone."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from promptmlr.data.columns import LABELS, SPLIT_NAMES, folded, has_images, is_image_name
from promptmlr.errors import UserError
from promptmlr.options.data import DataOptions, Unclear, between_commas, with_commas

__all__ = ["LOOKED_AT", "heading", "is_filled", "listing_to_end", "names_images", "names_of"]

LOOKED_AT = 30  # rows, among which the names are
_SEP = ["sep=", ""]  # what Excel reads in a first line, as its delimiter cuts it
_MANY = 2
_CLASSES = (*LABELS, "class", "classes", "category")
_DEFAULTS = DataOptions()
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")
_CODES = {"", "0", "1", "-1", "0.0", "1.0", "-1.0", "true", "false", "yes", "no"}
_SPLITS = SPLIT_NAMES | {"unassigned"}  # as Vertex AI calls those that it is to choose


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
    if not any(any(map(str.strip, row)) for row in rows):
        raise UserError(f"{path}: the file is empty; it needs a column image and one column per class")
    row, place, start = names_of(rows, options)
    bare = any(map(is_image_name, row)) and not names_images(row, options)
    if options.header is not None and (bare or "header" not in options.inherited):
        names = between_commas(options.header)
        if len(names) != len(row) and not (names and listing_to_end(names, options)):
            raise UserError(f"{path}, row {place + 1}: {len(row)} cells, and --header names {len(names)} columns")
        return names, place, place
    if _are_images(row):
        raise Unclear(f"{path}: its columns are images, so its rows are classes", {"they are": {"transposed": True}})
    if bare:
        raise _without_names(path, rows[place:])
    return row, place, start


def names_of(rows: Sequence[Sequence[str]], options: DataOptions = _DEFAULTS) -> tuple[list[str], int, int]:
    """The names of the columns, the row where they begin, and the one below them: perhaps the first image.

    Names of groups may stand above those of classes, where `image` stands in one of both rows, and as pandas writes
    it, alone in a third. R leaves out the name of the first column, which names the rows.

    Args:
        rows: the first ones.
        options: `image_column`.
    """
    place = _titles(rows, options)
    names = [cell.strip() for cell in rows[place]]
    filled = [one for one in range(place, len(rows)) if any(map(str.strip, rows[one]))]
    end = place
    for below in filled[1:3]:
        cells = [cell.strip() for cell in rows[below]]
        if end == place and _are_below(cells, names, options):
            names, end = _joined(names, cells), below
        elif end > place and len(cells) == len(names) and _count(cells) == 1 and names_images(cells, options):
            names, end = [cell or name for cell, name in zip(cells, names, strict=True)], below
    first = _of_rows([rows[one] for one in filled if one > end], names, options)
    return [*first, *names], place, end + 1


def listing_to_end(names: Sequence[str], options: DataOptions) -> bool:
    """Whether the last of these columns takes all further cells of a row, as it lists classes (`--header`)."""
    return bool(names and options.header) and (
        folded(names[-1]) in LABELS or names[-1] == (options.label_column or "").strip()
    )


def _of_rows(rows: Sequence[Sequence[str]], names: Sequence[str], options: DataOptions) -> list[str]:
    """The name that R leaves out, where each row begins with its number or with the image that it is of."""
    if not rows or any(len(row) != len(names) + 1 or not row[-1].strip() for row in rows):
        return []
    first = [row[0].strip() for row in rows]
    if names_images(names, options):
        return [""] if first == [str(number) for number in range(1, len(rows) + 1)] else []
    return ["image"] if all(map(is_image_name, first)) and not any(map(is_image_name, names)) else []


def _are_images(names: Sequence[str]) -> bool:
    """Whether the columns are images: by their suffixes, or numbered ones after a column of classes."""
    first, *others = names
    named = all(map(is_image_name, others)) and not is_image_name(first)
    numbered = folded(first) in _CLASSES and all(name[-1:].isdigit() for name in others)
    return len(others) >= _MANY and len(set(others)) == len(others) and (named or numbered)


def _without_names(path: Path, rows: Sequence[list[str]]) -> Unclear:
    """The names that columns may have by what is in them."""
    first = rows[0]
    filled = [row for row in rows if is_filled(row)]
    if any(len(row) != len(first) for row in filled):
        image = next(place for place, cell in enumerate(first) if is_image_name(cell))
        proposed = _proposed([row[: image + 1] for row in filled if len(row) > image])
        proposed.append("labels")
    else:
        proposed = _proposed(filled)
    problem = f"{path}: no row names the columns; the first one is {', '.join(first[:4])}"
    if "class-1" in proposed:
        problem += " (give the classes their own names)"
    listed = next((name for name in proposed if name in ("label", "labels")), None)
    fields = {"header": with_commas(proposed), **({"label_column": listed} if listed else {})}
    return Unclear(problem, {"these are the columns": fields})


def _are_below(cells: Sequence[str], names: Sequence[str], options: DataOptions) -> bool:
    """Whether these are names of classes, and those above them of groups: some are blank there, or come again."""
    image = next((place for place, name in enumerate(names) if names_images([name], options)), 0)
    written = [cell for cell in cells if cell]
    groups = [name for place, name in enumerate(names) if place != image]
    return (
        len(cells) == len(names)
        and not cells[image]
        and bool(written)
        and all(cell or name for place, (cell, name) in enumerate(zip(cells, names, strict=True)) if place != image)
        and ("" in groups or len(set(groups)) < len(groups))
        and not any(map(_is_data, written))
    )


def _joined(groups: Sequence[str], names: Sequence[str]) -> list[str]:
    """Names of classes, each after that of its group where another group has one of the same name."""
    of_group, counts = "", Counter(names)
    joined = []
    for group, name in zip(groups, names, strict=True):
        of_group = group or of_group
        joined.append(group if not name else f"{of_group} {name}" if counts[name] > 1 else name)
    return joined


def _titles(rows: Sequence[Sequence[str]], options: DataOptions) -> int:
    """How many of the first rows are blank, or titles, comments and names for several columns, above the names."""
    filled = [place for place, row in enumerate(rows) if is_filled(row) and any(map(str.strip, row))]
    above: list[int] = []
    for place in filled:
        if _may_name(rows, place, options) and all(_may_be_title(rows[one], rows[place]) for one in above):
            return place
        above.append(place)
    widest = max((_count(rows[place]) for place in filled), default=0)
    below = dict(pairwise(filled))
    for place in filled:
        row, after = rows[place], rows[below.get(place, place)]
        comment = row[0].lstrip().startswith("#") and len(row) != len(after)
        if any(map(is_image_name, row)) or not (comment or _count(row) == 1 < widest or _are_groups(row, after)):
            return place
    return filled[-1] if filled else 0


def _are_groups(row: Sequence[str], below: Sequence[str]) -> bool:
    """Whether a row of which no name is known stands above that of the names: it has fewer, and below are no data."""
    names = [cell.strip() for cell in below if cell.strip()]
    return _count(row) < len(names) == len(set(names)) and not any(map(_is_data, names))


def _is_data(cell: str) -> bool:
    """Whether a cell is a label, an image or a number, and so no name of a column."""
    return cell.lower() in _CODES or is_image_name(cell) or _NUMBER.fullmatch(cell) is not None


def _may_name(rows: Sequence[Sequence[str]], place: int, options: DataOptions) -> bool:
    """Whether a row names the columns: no image, and none of its names says what is in the column below."""
    row, below = rows[place], rows[place + 1] if place + 1 < len(rows) else []
    again = any(names_images([cell], options) and cell == under for cell, under in zip(row, below, strict=False))
    return names_images(row, options) and not any(map(is_image_name, row)) and not again


def _may_be_title(row: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a row above the names may be something else than an image with its labels."""
    cells = {cell.strip().lower() for cell in row} - {""}
    return row[0].lstrip().startswith("#") or (
        _count(row) <= _count(names) and not cells & _CODES and not any(map(is_image_name, cells))
    )


def _count(row: Sequence[str]) -> int:
    """Of filled cells."""
    return sum(bool(cell.strip()) for cell in row)


def names_images(row: Sequence[str], options: DataOptions = _DEFAULTS) -> bool:
    """Whether a cell is a usual name for a column of images, or the one that `--image-column` says."""
    return has_images([cell.lstrip("# ") for cell in row], options)


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
    others = [place for place, name in enumerate(names) if name.startswith("column-")]
    texts = [place for place in others if not all(not cell or _NUMBER.fullmatch(cell) for cell in columns[place])]
    texts = texts or others
    if len(texts) == 1 and not classes:
        names[texts[0]] = "label" if len(set(columns[image])) < len(columns[image]) else "labels"
    return names
