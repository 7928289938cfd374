"""All rows of an annotation file, with the split of each: what tables, task lists and folders of lists become."""

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptmlr.data.images import ImageFile, ImageRef
from promptmlr.data.labelled import LabelledImages, require_files
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.data.precomputed import Features
from promptmlr.errors import UserError, nearest, told
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.names import checked_class_names, first_names
from promptmlr.options.data import Unclear

__all__ = [
    "UNLISTED",
    "LabelledRows",
    "ListedRows",
    "Names",
    "check_rows",
    "labels_of_names",
    "malformed_refused",
    "read_json",
    "read_lines",
    "split_for",
    "usual_split",
]

UNLISTED = {
    "nobody looked": {"unlisted": "unknown"},
    "everything unlisted is known not to be there": {"unlisted": "absent"},
}
"""When which value of `DataOptions.unlisted` is right."""

_LINES = (".jsonl", ".ndjson", ".manifest")
_USUAL = {"train": ("train", "training"), "test": ("test", "val", "valid", "validation")}
_SPLIT_NAME = re.compile(r"(train|training|test|testing|val|valid|validation|dev)([^a-z].*)?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """N images in the order of their annotation file, of all splits.

    Attributes:
        image_ids: N different names.
        images: N images, read when opened.
        labels: (N, C) int8: 1 present, 0 absent, -1 unknown.
        class_names: C names, checked.
        splits: the split of each, or None where none is named.
        kind: of the format, in a word.
        path: the file or folder that was read.
        where: row i → the place that names it, for messages.
        without_splits: why there are no splits, for messages.
        notes: lines for the user.
        features: where the images are rows of these.
        folds: (N,) int64, or None where none is named.
    """

    image_ids: Sequence[str]
    images: Sequence[ImageRef]
    labels: Labels
    class_names: tuple[str, ...]
    splits: Sequence[str] | None
    kind: str
    path: Path
    where: Callable[[int], str]
    without_splits: str = "no column 'split'"
    notes: tuple[str, ...] = ()
    features: Features | None = None
    folds: NDArray[np.int64] | None = None

    def part(self, split: str | None, purpose: Purpose, options: DataOptions) -> LabelledImages:
        """The images of one split.

        Args:
            split: its name; by default that of `purpose`, or all images where there are no splits.
            purpose: "train" takes train, "test" takes test or else what is called val, valid or validation; or the one
                split that is called so with a year or another ending (train2017).
            options: `skip_unreadable`.

        Raises:
            UserError: there is no such split, or an image is missing.
        """
        split, notes = self._choose(split, purpose)
        chosen = [i for i in range(len(self.image_ids)) if self.splits is None or self.splits[i] == split]
        if len(chosen) < len(self.image_ids):
            notes.append(f"{len(self.image_ids) - len(chosen)} rows of other splits are not used")
        return self._of(chosen, split, notes, options)

    def parts(self, options: DataOptions) -> dict[str | None, LabelledImages]:
        """All images by split, in the order of the file; under None where there are no splits.

        Raises:
            UserError: an image is missing.
        """
        rows: dict[str | None, list[int]] = {}
        for row in range(len(self.image_ids)):
            rows.setdefault(None if self.splits is None else self.splits[row], []).append(row)
        return {split: self._of(chosen, split, [], options) for split, chosen in rows.items()}

    def _of(self, chosen: list[int], split: str | None, notes: list[str], options: DataOptions) -> LabelledImages:
        images = [self.images[i] for i in chosen]
        if not options.skip_unreadable:
            files = [(i, image) for i, image in zip(chosen, images, strict=True) if isinstance(image, ImageFile)]
            require_files([image for _, image in files], lambda n: self.where(files[n][0]))
        rows = np.array(chosen, dtype=np.intp)
        part = LabelledImages.from_rows(
            [self.image_ids[i] for i in chosen],
            images,
            self.labels[rows],
            self.class_names,
            f"{self.kind} {self.path}, " + ("all rows" if split is None else f"split {split}"),
            [*notes, *self.notes],
            features=self.features,
            folds=None if self.folds is None else self.folds[rows],
        )
        return replace(part, without_splits=len(chosen) == len(self.image_ids))

    def _choose(self, split: str | None, purpose: Purpose) -> tuple[str | None, list[str]]:
        """The split to read (None: all rows), and what to say about it."""
        if self.splits is None:
            if split is not None:
                raise UserError(f"{self.path}: {self.without_splits}, so split {split!r} cannot be chosen")
            return None, [f"{self.without_splits}: all {len(self.image_ids)} rows are used"]
        present = set(self.splits)
        if split in present:
            return split, []
        found = split_for(purpose, present) if split is None else None
        if found is not None:
            usual = _USUAL[purpose][0]
            return found, [] if found == usual else [f"no rows of split {usual!r}: those of {found!r} are used"]
        wanted = _USUAL[purpose] if split is None else (split,)
        names = " or ".join(repr(name) for name in wanted[:2])
        known = first_names([repr(name) for name in sorted(present)])
        raise UserError(f"{self.path}: no rows of split {names}; there are {known}; choose one with --split")


@dataclass(frozen=True)
class Names:
    """What an annotation says of one image by listing names.

    Attributes:
        present: of the classes that are there.
        absent: of the classes that are known not to be there.
        looked: whether anybody labelled the image at all.
        unsure: of the classes that are unknown whatever silence means.
    """

    present: Iterable[str]
    absent: Iterable[str] = ()
    looked: bool = True
    unsure: Iterable[str] = ()


@dataclass(frozen=True)
class ListedRows:
    """N images in the order of their annotation file, and the names that it lists for each.

    Attributes:
        names: N lists.
        class_names: all classes, in their order; by default those that are listed, sorted.
        says_absent: whether the format has a place for absent classes, so that silence means unknown.
        others: as in `LabelledRows`.
    """

    names: Sequence[Names]
    image_ids: Sequence[str]
    images: Sequence[ImageRef]
    splits: Sequence[str] | None
    kind: str
    path: Path
    where: Callable[[int], str]
    class_names: Sequence[str] | None = None
    says_absent: bool = False
    without_splits: str = "no column 'split'"
    notes: Sequence[str] = ()

    def labelled(self, options: DataOptions) -> LabelledRows:
        """The same with labels, as `options.unlisted` says.

        Raises:
            UserError: as `check_rows` and `labels_of_names`.
        """
        check_rows(self.path, self.image_ids, self.where)
        labels, class_names = labels_of_names(self, options)
        return LabelledRows(
            self.image_ids,
            self.images,
            labels,
            class_names,
            self.splits,
            self.kind,
            self.path,
            self.where,
            self.without_splits,
            (*self.notes, *_reading(self, options)),
        )


def check_rows(path: Path, image_ids: Sequence[str], where: Callable[[int], str], folder: Path | None = None) -> None:
    """Refuse a data set without images, an image without name, and one that is there twice (below `folder`, if given).

    Raises:
        UserError: as above.
    """
    if not image_ids:
        raise UserError(f"{path}: no image in it; add one row per image")
    seen: dict[str, int] = {}
    start = "" if folder is None else str(folder.absolute())
    problems = []
    for row, image_id in enumerate(image_ids):
        if not image_id:
            problems.append(f"{where(row)}: no image name")
            continue
        first = seen.setdefault(posixpath.normpath(posixpath.join(start, image_id)), row)
        if first != row:
            problems.append(f"{where(row)}: image {image_id!r} is there already ({where(first)}); keep one of them")
    if problems:
        raise UserError(told(problems))


def labels_of_names(listed: ListedRows, options: DataOptions) -> tuple[Labels, tuple[str, ...]]:
    """Labels (N, C) from lists of names, and the C classes.

    Args:
        listed: the lists.
        options: `unlisted`, what is true of a class that an image does not list.

    Raises:
        UserError: a name is no class, or both present and absent in an image.
        Unclear: nothing says what silence means.
    """
    unlisted = options.unlisted or ("unknown" if listed.says_absent else None)
    class_names = listed.class_names
    if class_names is None:
        seen = {name for one in listed.names for name in (*one.present, *one.absent, *one.unsure)}
        class_names = sorted({name.replace("_", " ").strip() for name in seen})
    chosen = checked_class_names(class_names, str(listed.path))
    columns = {name: column for column, name in enumerate(chosen)}
    labels = np.full((len(listed.names), len(chosen)), ABSENT if unlisted == "absent" else UNKNOWN, dtype=np.int8)
    for row, one in enumerate(listed.names):
        if not one.looked:
            labels[row] = UNKNOWN
        present = [_column(name, columns, listed.where, row) for name in one.present]
        absent = [_column(name, columns, listed.where, row) for name in one.absent]
        both = sorted(set(present) & set(absent))
        if both:
            raise UserError(
                f"{listed.where(row)}: {chosen[both[0]]!r} is listed as present and as absent; keep one of them"
            )
        labels[row, absent] = ABSENT
        labels[row, present] = PRESENT
        labels[row, [_column(name, columns, listed.where, row) for name in one.unsure]] = UNKNOWN
    if unlisted is None:  # asked last, so that what is proposed reads the file
        raise Unclear(f"{listed.path} lists what is present and is silent on the rest", dict(UNLISTED))
    return labels, chosen


def _column(name: str, columns: dict[str, int], where: Callable[[int], str], row: int) -> int:
    column = columns.get(name)
    if column is None:
        column = columns.get(name.replace("_", " ").strip())
        if column is None:
            raise UserError(f"{where(row)}: {name!r} is none of the {len(columns)} classes; {nearest(name, columns)}")
        columns[name] = column
    return column


def _reading(listed: ListedRows, options: DataOptions) -> list[str]:
    said = "unlisted classes are " + (options.unlisted or "unknown")
    notes = [said + (": absent ones are listed" if options.unlisted is None and listed.says_absent else "")]
    if not_looked := sum(not one.looked for one in listed.names):
        notes.append(f"{not_looked} images are not labelled at all: all unknown")
    return notes


def read_json(path: Path) -> Any:
    """The content of a JSON file; of `.jsonl` and the like a list of its lines.

    Raises:
        UserError: it cannot be read, or is no JSON, or an object has a key twice.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            if path.suffix.lower() in _LINES:
                return [json.loads(line, object_pairs_hook=_once) for line in file if line.strip()]
            return json.load(file, object_pairs_hook=_once)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged JSON ({error}); export it again") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, of which a key that comes twice would lose what was said first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
        raise ValueError(f"an object with two keys {twice!r}")
    return found


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that hold anything, stripped.

    Raises:
        UserError: it cannot be read, or is no text.
    """
    try:
        return [clean for line in path.read_text(encoding="utf-8-sig").split("\n") if (clean := line.strip())]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a UTF-8 text file; save it as UTF-8") from error


@contextmanager
def malformed_refused(path: Path, kind: str) -> Iterator[None]:
    """What is well-formed and of another shape than expected becomes a `UserError` that names the file."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        said = f"an entry lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path}: not as {kind} writes it: {' '.join(said.split())[:200]}; export it again") from error


def split_for(purpose: Purpose, present: Iterable[str]) -> str | None:
    """The split to train or test on, by its name: a usual one, or the only one that adds to it (train2017, val-new)."""
    known = sorted(set(present))
    usual = next((name for one in _USUAL[purpose] for name in known if name.lower() == one), None)
    if usual is not None:
        return usual
    longer = [name for name in known if re.match(rf"({'|'.join(_USUAL[purpose])})[^a-z]", name, re.IGNORECASE)]
    return longer[0] if len(longer) == 1 else None


def usual_split(name: str) -> bool:
    """Whether a folder or a file of this name stands for a split, such as train, val2017 or test."""
    return _SPLIT_NAME.fullmatch(name) is not None
