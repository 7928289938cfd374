"""Which column of a table is what: said by the user, or by a name that many tables use."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

from promptmlr.data.images import IMAGE_SUFFIXES
from promptmlr.errors import UserError, first_names, nearest
from promptmlr.options.data import DataOptions, Unclear, between_commas

__all__ = [
    "LABELS",
    "NEGATIVES",
    "SPLIT_NAMES",
    "Columns",
    "columns_of",
    "folded",
    "has_images",
    "is_image_name",
    "shape_of",
]

IMAGES = (
    *("image", "imagepath", "imageid", "imagename", "imageindex", "imagefile", "imagefilename", "imageurl"),
    *("imagegcsuri", "sourceref", "externalid"),
    *("img", "imgname", "imgpath", "imgid", "dicomid", "isicid", "photo", "photoid"),
    *("filename", "filepath", "fname", "file", "path", "id"),
)
LABELS = ("labels", "tags", "target", "targets", "findinglabels", "label")
NEGATIVES = ("negatives",)
_SPLITS = ("split", "isvalid", "mluse")
_MAY_SPLIT = ("set", "subset", "partition", "phase", "usage")  # where their cells are names of splits
SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
_FOLDS = ("fold", "kfold", "cvfold")
_VALID = {"true": "valid", "1": "valid", "false": "train", "0": "train", "": "train"}
_COUNTER = re.compile(r"(unnamed: ?\d+)?", re.IGNORECASE)  # of rows, as pandas calls it when it reads its own index
_CORNER = re.compile(r"(?<=\w)\s*[\\/]\s*(?=label|class|tag)", re.IGNORECASE)
_SEVERAL = re.compile(rf"(?:{'|'.join(map(re.escape, IMAGE_SUFFIXES))})\s*[|;,]")  # names in one cell
_SEPARATORS = re.compile(r"[\s_\-]+")
_LIKELY = re.compile(r"(image|img|photo|picture|scan|slide|bild|foto|file|datei).*|.*(id|url|file|path)")
_SAMPLE = 100  # cells tell whether a column names images

Cells = Callable[[int], Sequence[str]]


def folded(name: str) -> str:
    """A name without what people vary: Image_ID, image id and ImageID are one."""
    return _SEPARATORS.sub("", name).casefold()


def _said(name: str) -> str:
    r"""What a column may be known by: of IMAGE\LABEL, which says what is below and what beside it, the first."""
    return folded(_CORNER.split(name)[0])


@dataclass(frozen=True)
class Columns:
    """The columns of a table, by number.

    Attributes:
        path: the file.
        header: names, without spaces around.
        image: names the images.
        split: names their splits, or says is_valid.
        rest: all others that are not left out, in the order of the file, or of `--classes`.
        ignored: those that somebody left out.
        unmatched: names in `--ignore` and `--classes` that are no columns.
        beyond: those that are no classes of the run which the table is read for.
    """

    path: Path
    header: tuple[str, ...]
    image: int
    split: int | None
    rest: tuple[int, ...]
    ignored: tuple[int, ...] = ()
    unmatched: tuple[str, ...] = ()
    beyond: tuple[int, ...] = ()

    def names(self, columns: Iterable[int]) -> list[str]:
        """Their names."""
        return [self.header[column] for column in columns]

    def one_of(self, known: tuple[str, ...], said: str | None = None, option: str = "--label-column") -> int | None:
        """The column that somebody named with an option, or the only one of the rest with a known name."""
        if said is not None:
            return _named(self.path, self.header, said, option)
        return next((column for name in known for column in self.rest if folded(self.header[column]) == name), None)

    def listing(self, known: tuple[str, ...], said: str | None) -> list[int]:
        """The columns that list classes: one, or those that somebody named between commas."""
        if said is None or _matches(self.header, said):
            one = self.one_of(known, said)
            return [] if one is None else [one]
        return [_named(self.path, self.header, name, "--label-column") for name in between_commas(said)]

    def without(self, *columns: int | None) -> Self:
        """The same, with other uses for some of the rest."""
        return replace(self, rest=tuple(column for column in self.rest if column not in columns))

    def of_run(self, options: DataOptions) -> Self:
        """Only the classes of the run that the table is read for, where it has any and nobody says otherwise."""
        said = {"ignore", "classes"} - set(options.inherited)
        known = tuple(column for column in self.rest if self.header[column].replace("_", " ") in options.trained)
        if not known or any(getattr(options, name) is not None for name in said):
            return self
        return replace(self, rest=known, beyond=tuple(column for column in self.rest if column not in known))

    def require_all(self, options: DataOptions) -> None:
        """Refuse names of columns that are none, unless they were said of other data.

        Raises:
            UserError: as above.
        """
        if self.unmatched and not {"ignore", "classes"} & set(options.inherited):
            said, name = "--classes" if options.classes is not None else "--ignore", self.unmatched[0]
            raise UserError(f"{self.path}: no column {name!r}, which {said} names; {nearest(name, self.header)}")

    def splits(self, cells: Cells, where: Callable[[int], str]) -> list[str] | None:
        """The split of each row, if the table says it."""
        if self.split is None:
            return None
        found = list(cells(self.split))
        if folded(self.header[self.split]) != "isvalid":
            return found
        odd = next((row for row, cell in enumerate(found) if cell.lower() not in _VALID), None)
        if odd is not None:
            raise UserError(f"{where(odd)}, column 'is_valid': cannot read {found[odd]!r}; write True or False")
        return [_VALID[cell.lower()] for cell in found]

    def note(self) -> list[str]:
        """What is not as in every table, in a line or none."""
        said = [f"images are in column {self.header[self.image]!r}"] if self.header[self.image] != "image" else []
        if self.split is not None and folded(self.header[self.split]) not in _SPLITS:
            said.append(f"splits are in column {self.header[self.split]!r}")
        if self.ignored:
            said.append(f"not used: {first_names(self.names(self.ignored))}")
        if self.beyond:
            said.append(f"no classes of the run, so not read: {first_names(self.names(self.beyond))}")
        return ["; ".join(said)] if said else []


def columns_of(path: Path, header: Sequence[str], options: DataOptions, cells: Cells) -> Columns:
    """Find the columns of a table.

    A column without a name is left out where it is blank, or the first and counts the rows (as pandas writes it).

    Args:
        path: the file, for messages.
        header: names, without spaces around.
        options: `image_column`, `ignore`, `classes`.
        cells: column → its cells.

    Raises:
        UserError: a column is named that is not there, or there is none of images.
        Unclear: several columns may name the images.
    """
    image = _image(path, header, options, cells)
    split = next(iter([*_known(header, _SPLITS, image), *_splits(header, cells, image)]), None)
    left: dict[int, None] = {}
    unmatched: list[str] = []
    names = between_commas(options.ignore or options.classes or "")
    for name in names:
        matches = _matches(header, name)
        if len(matches) > 1:
            raise UserError(f"{path}: {len(matches)} columns are called {name!r}; rename one")
        if matches:
            left[matches[0]] = None
        else:
            unmatched.append(name)
    rest = [
        c
        for c, name in enumerate(header)
        if c not in (image, split) and not (_COUNTER.fullmatch(name) and _is_idle(c, cells))
    ]
    if options.classes is not None:
        chosen = tuple(column for column in left if column in rest)
        ignored = tuple(column for column in rest if column not in left)
    else:
        left |= dict.fromkeys(_known(header, _FOLDS, image))
        chosen = tuple(column for column in rest if column not in left)
        ignored = tuple(column for column in left if column != image)
    kept = split if split not in left else None
    return Columns(path, tuple(header), image, kept, chosen, ignored, tuple(unmatched)).of_run(options)


def _splits(header: Sequence[str], cells: Cells, image: int) -> list[int]:
    """Columns that may be called otherwise, and hold two or more names of splits alone."""
    found = {column: {cell.lower() for cell in cells(column)} for column in _known(header, _MAY_SPLIT, image)}
    return [column for column, names in found.items() if len(names) > 1 and names <= SPLIT_NAMES]


def has_images(header: Sequence[str], options: DataOptions) -> bool:
    """Whether a column names images, by what it is called."""
    return any(_said(name) in (*IMAGES, folded(options.image_column or "image")) for name in header)


def shape_of(header: Sequence[str], options: DataOptions) -> Literal["list", "long"] | None:
    """Whether a table lists names, in a row per image or per label; None where it may have a column per class.

    A header says so that has a column of images, one of labels, and nothing else that is not known or left out.
    """
    ignored = _ignored(header, options)
    names = [folded(name) for column, name in enumerate(header) if column not in ignored]
    if options.class_after is not None and "class_after" not in options.inherited:
        return "long"
    if options.value_column is not None and folded(options.value_column) in names:
        return "long"
    if options.label_column is not None:
        return "long" if "value" in names or folded(options.label_column) == "label" else "list"
    images = (*IMAGES, folded(options.image_column or "image"))
    others = sorted(name for name in names if name not in (*images, *_SPLITS, *NEGATIVES))
    if options.class_after is not None and len(others) == 1:  # said of a table like this one
        return "long"
    if not has_images(header, options) or not others or others[0] not in LABELS:
        return None
    if others in (["label"], ["label", "value"]):
        return "long"
    return "list" if len(others) == 1 else None


def is_image_name(cell: str) -> bool:
    """Whether a cell ends as the names of image files do, or as their addresses."""
    written = cell.partition("?")[0].lower()
    return written.endswith(tuple(IMAGE_SUFFIXES)) and not _SEVERAL.search(written)


def _names_images(cells: Sequence[str]) -> bool:
    """Whether most cells do."""
    sample = cells[:_SAMPLE]
    return sum(map(is_image_name, sample)) > len(sample) / 2


def _image(path: Path, header: Sequence[str], options: DataOptions, cells: Cells) -> int:
    said = options.image_column
    if said is not None and not ("image_column" in options.inherited and not _matches(header, said)):
        return _named(path, header, said, "--image-column")
    if header.count("image") == 1:
        return header.index("image")
    ignored = _ignored(header, options)
    found = [column for column in _known(header, IMAGES) if column not in ignored]
    files = [column for column in range(len(header)) if column not in ignored and _names_images(cells(column))]
    if not found and files == [0] and not header[0]:  # as pandas writes an index
        return 0
    if len(found) == 1 and (found[0] in files or not files):
        return found[0]
    if len(files) == len(header) > 1 and not found:
        raise UserError(f"{path}: every column holds images, as if it were a class; write a row per image")
    twice = next((header[column] for column in found if header.count(header[column]) > 1), None)
    if twice is not None:
        raise UserError(f"{path}: {header.count(twice)} columns are named {twice!r}; keep one")
    likely = [column for column in found if column in files] or files
    choices = [column for column in likely or found or _likely(header, cells, ignored) if header[column]]
    if not choices:
        raise UserError(f"{path}: no column of images; --image-column says which it is of {first_names(header)}")
    problem = (
        "more than one column may name the images"
        if len(choices) > 1
        else f"no column of images by its name among {first_names(header)}"
    )
    readings = {f"{header[column]!r} names the images": {"image_column": header[column]} for column in choices}
    raise Unclear(f"{path}: {problem}", readings)


def _likely(header: Sequence[str], cells: Cells, ignored: set[int]) -> list[int]:
    """A column that may hold ids of images: of a name for such, or the first where all cells differ."""
    filled = [c for c, name in enumerate(header) if name and c not in ignored and any(cells(c))]
    filled = [c for c in filled if all(cells(c)[:-1])]  # the last row may be one of totals
    filled = [c for c in filled if not any(map(_SEVERAL.search, cells(c)[:_SAMPLE]))]
    ids = [c for c in filled if len(set(cells(c))) > len(cells(c)) / 2]
    named = [c for c in ids if _LIKELY.fullmatch(folded(header[c]))]
    return (named or [c for c in ids if len(set(cells(c))) == len(cells(c)) > 2])[:1]


def _ignored(header: Sequence[str], options: DataOptions) -> set[int]:
    return {column for name in between_commas(options.ignore or "") for column in _matches(header, name)}


def _known(header: Sequence[str], names: tuple[str, ...], *but: int) -> list[int]:
    """Columns with one of these names; one that is written exactly so comes before others."""
    found = [column for column, name in enumerate(header) if _said(name) in names and column not in but]
    return sorted(found, key=lambda column: (header[column] not in names, names.index(_said(header[column]))))


def _named(path: Path, header: Sequence[str], name: str, option: str) -> int:
    matches = _matches(header, name)
    if len(matches) > 1:
        raise UserError(f"{path}: {len(matches)} columns are called {name!r}; rename one")
    if not matches:
        raise UserError(f"{path}: no column {name!r}, which {option} names; {nearest(name, header)}")
    return matches[0]


def _matches(header: Sequence[str], name: str) -> list[int]:
    exact = [column for column, one in enumerate(header) if one == name.strip()]
    return exact or [column for column, one in enumerate(header) if folded(one) == folded(name)]


def _is_idle(column: int, cells: Cells) -> bool:
    """Whether a column without a name may be left out: it is blank, or counts the rows."""
    found = cells(column)
    counting = column == 0 and any(
        all(cell == str(number) for number, cell in enumerate(found, start)) for start in (0, 1)
    )
    return counting or not any(found)
