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
RECORDED = (
    *("format", "unlisted", "delimiter", "difficult", "coco_images", "crowd", "annotated_categories", "machine_labels"),
    *_COLUMNS,
    *("codes", "sheet", "header", "several"),
)
"""What labels mean, which a run keeps; where files are and which are read is another matter in every data set."""


@dataclass(frozen=True)
class DataOptions(Options):
    """How labelled images are read. None means: as the data say, or as the released code does.

    Attributes:
        format: Format of DATA, if it cannot be recognised: csv, coco, … (an unknown name prints the list of all).
        images: Folder to which image paths are relative. (default: the folder of the file)
        split: Which split to use, by the name it has in the data (train, val2014, trainval …).
        unlisted: For formats that list the classes of an image: what the classes that are not listed are. unknown:
            nobody checked; absent: somebody checked, and they are not there.
        delimiter: Character between names in a list CSV. (default: detected if it is clear)
        difficult: VOC: what a class is if all its objects in an image are marked difficult. skip: these objects are
            ignored, so it is absent; unknown: it is unknown. (default: skip, as in the released code)
        coco_images: COCO: use only images with annotations, or all. (default: annotated, as in the released code; all
            in inspect and convert)
        crowd: COCO: what a class is if an image shows it only as a crowd. (default: present, as in the released code)
        annotated_categories: COCO: the categories that each image was annotated for; all others are unknown in it.
            Either a field of the images that lists category ids, or a .json file that maps image ids to category ids.
            (default: all categories)
        machine_labels: Open Images: a label that no person verified counts as present from this confidence on.
            (default: it never counts)
        image_column: Tables: the column with the names of the images. (default: the one called image, path, filename …)
        label_column: Tables that list classes in one column: which column, or
            several between commas. (default: the one called labels, tags …)
        ignore: Classes to leave out, separated by commas; in tables columns that are no classes.
        classes: The classes to read, separated by commas or in a file with one per line; others are left out. (default:
            all)
        codes: Tables: what cells mean, such as 1.0=present,0.0=absent,-1.0=unknown,=unknown (nothing before = stands
            for a blank cell). (default: 1, yes, y, true; 0, no, n, false; blank is unknown)
        sheet: XLSX: which sheet. (default: the only one)
        header: Tables whose first row is an image already: the names of their columns, separated by commas.
        encoding: CSV: of the text, such as windows-1252. (default: UTF-8, or what the file's mark says)
        several: Tables with several rows of an image, as several people wrote them. agree: a class about which they
            disagree is unknown; majority: what most of them say counts, and a tie is unknown.
        without_totals: Tables: the last row holds sums and no image; leave it out.
        skip_unreadable: Leave out images that are missing or cannot be read, instead of stopping.
        scenes_train: How many scenes to draw for training.
        scenes_test: How many scenes to draw for testing.
        trained: Classes of a run: of tables with a column per class only these are read.
        inherited: Fields that were given for other data: columns that are not there are then no mistake.
    """

    format: str | None = None
    images: Path | None = None
    split: str | None = None
    unlisted: Literal["unknown", "absent"] | None = None
    delimiter: str | None = None
    difficult: Literal["skip", "unknown"] | None = None
    coco_images: Literal["annotated", "all"] | None = None
    crowd: Literal["present", "unknown", "absent"] | None = None
    annotated_categories: str | None = None
    machine_labels: float | None = None
    image_column: str | None = None
    label_column: str | None = None
    ignore: str | None = None
    classes: str | None = None
    codes: str | None = None
    sheet: str | None = None
    header: str | None = None
    encoding: str | None = None
    several: Literal["agree", "majority"] | None = None
    without_totals: bool = False
    skip_unreadable: bool = False
    scenes_train: int = 2000
    scenes_test: int = 1000
    trained: tuple[str, ...] = ()
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

    def recorded(self) -> dict[str, str | float]:
        """What was said of the meaning of labels, for the record of a run."""
        return {name: value for name in RECORDED if (value := getattr(self, name)) is not None}

    def words(self) -> list[str]:
        """What was said of more than a split, as the command line writes it."""
        names = ("format", "images", *RECORDED[1:], "encoding", "without_totals", "skip_unreadable")
        return _words({name: value for name in names if (value := getattr(self, name)) not in (None, False)})


class Unclear(UserError):
    """Data that can be read in several ways, or in one that somebody has to confirm.

    Args:
        problem: what is unclear, and where.
        readings: when a reading is right ("nobody looked") → the fields of `DataOptions` that choose it; `data` is
            another file or folder to name.
        data: what was named, where a reading names another.
    """

    def __init__(self, problem: str, readings: Mapping[str, Mapping[str, Any]], data: str = "") -> None:
        self.problem, self.readings, self.data = problem, readings, data
        told = [shlex.join(_words(fields)) for fields in readings.values()]
        if len(told) > 1:
            told = [f"{words} if {when}" for words, when in zip(told, readings, strict=True)]
        super().__init__(f"{problem}: {', '.join(told)}")

    def commands(self, start: Sequence[str]) -> list[str]:
        """The whole command of each reading, after the words that began it, less what the reading says anew."""
        lines = [shlex.join(self._command(start, fields)) for fields in self.readings.values()]
        return (
            lines
            if len(lines) == 1
            else [f"{line}  # if {when}" for line, when in zip(lines, self.readings, strict=True)]
        )

    def _command(self, start: Sequence[str], fields: Mapping[str, Any]) -> list[str]:
        words, said = _without(start, fields), {name: value for name, value in fields.items() if name != "data"}
        if "data" in fields:
            words = [fields["data"] if word == self.data else word for word in words]
        return [*words, *_words(said)]


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
