"""How labelled images are read: the choices that a data format leaves open."""

import csv
import io
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from promptmlr.errors import UserError
from promptmlr.options.base import Options, option

__all__ = ["DataOptions", "Unclear", "between_commas", "with_commas"]

_COLUMNS = ("image_column", "label_column", "ignore", "classes")
RECORDED = ("format", "unlisted", "delimiter", "difficult", "coco_images", "crowd", *_COLUMNS, "codes", "sheet")
"""What labels mean, which a run keeps; where files are and which are read is another matter in every data set."""


@dataclass(frozen=True)
class DataOptions(Options):
    """How labelled images are read. None leaves the choice to the data, or to what the released code does.

    Attributes:
        format: The format of DATA, where its name and content do not tell: csv, coco, … (any other word lists all).
        images: Folder that image paths start from. (default: that of the file)
        split: Which part of the data, by its own name (train, val2014, trainval …).
        unlisted: In formats that list the classes of an image: what all other classes are. unknown: nobody looked;
            absent: they are known not to be there.
        delimiter: What stands between names in a list CSV. (default: found where it is clear)
        difficult: VOC: what to do with a class all of whose objects in an image are marked difficult: skip them, so
            that it counts as absent, or call it unknown. (default: skip, as released)
        coco_images: COCO: use the images that have annotations, or all. (default: annotated, as released; all in
            inspect and convert)
        crowd: COCO: what a class is that an image shows only as a crowd. (default: present, as released)
        image_column: Tables: the column that names the images. (default: the one called image, path, filename …)
        label_column: Tables that list classes in one column: which one. (default: the one called labels, tags …)
        ignore: Tables: columns that are no classes, between commas; in lists also names that are none.
        classes: Tables: the classes, between commas or in a file with one a line; others are left out. (default: all)
        codes: Tables: what cells say, such as 1.0=present,0.0=absent,-1.0=unknown,=unknown (nothing before = is a
            blank cell). (default: 1, yes, y, true; 0, no, n, false; blank is unknown)
        sheet: XLSX: which sheet. (default: the only one)
        skip_unreadable: Leave out images that are missing or cannot be read, instead of refusing the data.
        scenes_train: How many scenes are drawn to train on.
        scenes_test: How many scenes are drawn to test on.
        inherited: Fields that were said of other data: columns that are not there are then no mistake.
    """

    format: str | None = None
    images: Path | None = None
    split: str | None = None
    unlisted: Literal["unknown", "absent"] | None = None
    delimiter: str | None = None
    difficult: Literal["skip", "unknown"] | None = None
    coco_images: Literal["annotated", "all"] | None = None
    crowd: Literal["present", "unknown", "absent"] | None = None
    image_column: str | None = None
    label_column: str | None = None
    ignore: str | None = None
    classes: str | None = None
    codes: str | None = None
    sheet: str | None = None
    skip_unreadable: bool = False
    scenes_train: int = 2000
    scenes_test: int = 1000
    inherited: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        super().__post_init__()
        if self.ignore is not None and self.classes is not None and not self.inherited:
            raise UserError("--ignore and --classes both say which columns are classes; give one of them")

    def or_else(self, defaults: Mapping[str, Any]) -> Self:
        """The same, and `defaults` where nothing is said of what labels mean."""
        unsaid = [name for name in RECORDED if getattr(self, name) is None and name in defaults]
        if self.ignore is not None or self.classes is not None:
            unsaid = [name for name in unsaid if name not in ("ignore", "classes")]
        return replace(self, **{name: defaults[name] for name in unsaid}, inherited=(*self.inherited, *unsaid))

    def recorded(self) -> dict[str, str]:
        """What was said of the meaning of labels, for the record of a run."""
        return {name: value for name in RECORDED if (value := getattr(self, name)) is not None}

    def words(self) -> list[str]:
        """What was said of more than a split, as the command line writes it."""
        names = ("format", "images", *RECORDED[1:], "skip_unreadable")
        return _words({name: value for name in names if (value := getattr(self, name)) not in (None, False)})


class Unclear(UserError):
    """Data that can be read in several ways, or in one that somebody has to confirm.

    Args:
        problem: what is unclear, and where.
        readings: when a reading is right ("nobody looked") → the fields of `DataOptions` that choose it.
    """

    def __init__(self, problem: str, readings: Mapping[str, Mapping[str, Any]]) -> None:
        self.problem, self.readings = problem, readings
        told = [shlex.join(_words(fields)) for fields in readings.values()]
        if len(told) > 1:
            told = [f"{words} if {when}" for words, when in zip(told, readings, strict=True)]
        super().__init__(f"{problem}: {', '.join(told)}")

    def commands(self, start: Sequence[str]) -> list[str]:
        """The whole command of each reading, after the words that began it, less what the reading says anew."""
        lines = [shlex.join([*_without(start, fields), *_words(fields)]) for fields in self.readings.values()]
        return (
            lines
            if len(lines) == 1
            else [f"{line}  # if {when}" for line, when in zip(lines, self.readings, strict=True)]
        )


def between_commas(text: str) -> list[str]:
    """The names of a list, of which those with commas in them are in double quotes."""
    return [name.strip() for row in csv.reader([text], skipinitialspace=True) for name in row if name.strip()]


def with_commas(names: Iterable[str]) -> str:
    """The list that `between_commas` takes apart."""
    file = io.StringIO()
    csv.writer(file, lineterminator="").writerow(names)
    return file.getvalue()


def _without(words: Sequence[str], fields: Iterable[str]) -> list[str]:
    """A command without the options of these fields."""
    names = {option(name) for name in fields}
    return [
        word
        for before, word in zip(("", *words), words, strict=False)
        if before not in names and word.partition("=")[0] not in names
    ]


def _words(fields: Mapping[str, Any]) -> list[str]:
    words = []
    for name, value in fields.items():
        if value is True:
            words.append(option(name))
        elif str(value).startswith("-"):  # which would be an option of its own
            words.append(f"{option(name)}={value}")
        else:
            words += [option(name), str(value)]
    return words
