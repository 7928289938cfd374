"""A text file per class, which lists the images that show it: MIRFLICKR-25000's annotations (`dog.txt`: 17, 42, …).

Numbers stand for `im17.jpg` (Huiskes and Lew, "The MIR Flickr retrieval evaluation", 2008); files called `dog_r1.txt`
list those on which the class is salient, and are classes of their own. `README` and lists of other things are left out.
"""

import re
from pathlib import Path

from promptmlr.data.formats.base import Format
from promptmlr.data.images import ImageFile, find_images
from promptmlr.data.options import DataOptions
from promptmlr.data.rows import LabelledRows, ListedRows, Names, read_lines
from promptmlr.errors import UserError, first_names
from promptmlr.names import shown

__all__ = ["FORMAT", "read_concept_lists"]

_NUMBER = re.compile(r"\d+")
_PLACES = ("annotations", "mirflickr25k_annotations_v080", ".")


def read_concept_lists(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read all lists, and every image that there is, also those in no list.

    Args:
        path: the folder of the lists, or the one above `annotations`.
        images: the folder of the images, by default `path`.
        options: `unlisted`.

    Raises:
        UserError: there are no lists or no images, a list names an image that is not there, or silence is unclear.
    """
    lists = _lists(path)
    if not lists:
        raise UserError(f"{path}: no text file of a class that lists images, by number or name")
    root = images or path
    files = list(find_images([root]))
    rows: dict[str, int] = {}
    for row, file in enumerate(files):
        number = _NUMBER.search(file.stem)
        for name in (file.stem, file.name, *([str(int(number[0]))] if number else [])):
            rows.setdefault(name, row)
    found: list[list[str]] = [[] for _ in files]
    for name, listed in lists.items():
        missing = [one for one in listed if one not in rows]
        if missing:
            raise UserError(f"{path}, {name}.txt: no image {first_names(missing)} below {root}; name it with --images")
        for one in listed:
            found[rows[one]].append(name)
    return ListedRows(
        [Names(names) for names in found],
        [shown(file.relative_to(root).as_posix()) for file in files],
        [ImageFile(file) for file in files],
        splits=None,
        kind="lists by class",
        path=path,
        where=lambda row: str(files[row]),
        class_names=list(lists),
        without_splits="no splits",
    ).labelled(options)


def _lists(path: Path) -> dict[str, list[str]]:
    """Class → the images that show it; of the first folder that has such files."""
    for place in _PLACES:
        found = {}
        for file in sorted((path / place).glob("*.txt")) if path.is_dir() else ():
            lines = file.read_bytes()[:4096].decode(errors="replace").splitlines()[:50]
            if lines and all(_NUMBER.fullmatch(line.strip()) for line in lines):
                found[file.stem] = read_lines(file)
        if len(found) > 1:
            return found
    return {}


FORMAT = Format(
    "concept-lists",
    "a text file per class that lists the numbers of images, such as MIRFLICKR's annotations",
    lambda source: bool(_lists(source.path)),
    read_concept_lists,
    weak=True,
)
