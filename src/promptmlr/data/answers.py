"""Answers of people, back into the file that the labels came from: everything else in it stays as it was."""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from promptmlr.data import DataOptions, load_data
from promptmlr.data.formats import FORMATS, detect_format, format_named
from promptmlr.data.formats.base import BySplit, Changes, Format
from promptmlr.data.images import IMAGE_SUFFIXES, ImageFile, ImageRef
from promptmlr.data.journal import read_journal
from promptmlr.data.labelled import LabelledImages
from promptmlr.errors import UserError, nearest
from promptmlr.files import write_bytes
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.reporting import Reporter, counted

__all__ = ["answered", "correct", "correctable", "read_answers"]

Rows = list[tuple[str, str, dict[str, int]]]  # image id, name of its file, and class name → label
_CODES = {"1": PRESENT, "0": ABSENT, "": UNKNOWN}


def read_answers(*paths: Path, reporter: Reporter | None = None) -> dict[str, dict[str, int]]:
    """The answers of journals: image id → class name → 1, 0 or -1.

    The last answer to a cell counts: in a journal its last line, of several journals the one that is named last.

    Args:
        paths: the journals.
        reporter: told how many cells two of them answer differently.

    Raises:
        UserError: as `read_journal`.
    """
    found: dict[str, dict[str, int]] = defaultdict(dict)
    differ = []
    for path in paths:
        for entry in read_journal(path):
            code, row = _CODES[entry.value], found[entry.image]
            if row.get(entry.class_name, code) != code:
                differ.append(f"{entry.class_name!r} in {entry.image!r}")
            row[entry.class_name] = code
    if differ:
        (reporter or Reporter()).note(
            f"{counted(len(differ), 'cell')} answered differently, where {paths[-1]} or the later file counts; first "
            f"{differ[0]}"
        )
    return dict(found)


def correctable(data: str, options: DataOptions) -> bool:
    """Whether `correct` can write this file again; not every file of a format has a place for answers.

    Raises:
        UserError: the file cannot be read.
    """
    path, kind = Path(data), format_named(options.format or detect_format(data))
    if kind.amend is None or not path.is_file():
        return False
    before = _in_order(path, kind, options)
    try:
        kind.amend(path, [{} for _ in before], options)
    except UserError:
        return False
    return True


def correct(
    data: str,
    answers: Mapping[str, Mapping[str, int]],
    destination: Path,
    options: DataOptions,
    *,
    overwrite: bool = False,
) -> list[str]:
    """Write a label file once more, with these answers in it.

    Args:
        data: a file in a format that can be corrected.
        answers: image id → class name → 1, 0 or -1, as `read_answers` gives them.
        destination: the new file; `data` itself under `overwrite`.
        options: how the data are read.
        overwrite: replace an existing file.

    Returns:
        Lines for the user: how many answers change a label, and those that the file cannot hold.

    Raises:
        UserError: the format cannot be corrected, or not without changing other labels; an image or a class is not
            in the data; the destination is taken.
        EnvironmentFault: it cannot be written.
    """
    path, kind = Path(data), format_named(options.format or detect_format(data))
    amend = kind.amend
    if amend is None or not path.is_file():
        able = ", ".join(name for name, one in FORMATS.items() if one.amend is not None)
        raise UserError(
            f"{data}: only files can be corrected, of the formats {able}; others are written anew with --to"
        )
    if destination.exists() and not overwrite:
        raise UserError(f"{destination} exists; name another file, or replace it with --overwrite")
    before = _in_order(path, kind, options)
    answers = _matched(answers, [(image_id, file) for image_id, file, _ in before], list(before[0][2]), data)
    changes = [
        {name: code for name, code in answers.get(image_id, {}).items() if known[name] != code}
        for image_id, _, known in before
    ]
    content = amend(path, changes, options)
    lost = _lost(before, changes, _read_back(path, content, kind, options))
    others = [(place, name) for place, name in lost if name not in changes[place]]
    if others:
        raise UserError(
            f"{data}: with these answers, {kind.name} would also change what {before[others[0][0]][0]!r} says of "
            f"{others[0][1]!r} ({len(others):,} labels in all); --to csv writes a file that holds them"
        )
    if lost:  # what cannot be in the file leaves no trace in it
        for place, name in lost:
            del changes[place][name]
        content = amend(path, changes, options)
    write_bytes(destination, content)
    count, given = sum(map(len, changes)), sum(map(len, answers.values()))
    notes = [f"{count:,} of {given:,} answers change a label"]
    if lost:
        place, name = lost[0]
        notes.append(
            f"{len(lost):,} answers are not in it, as {kind.name} cannot hold them, or a shape says otherwise; first "
            f"{name!r} in {before[place][0]!r}; --to csv writes a file that holds them all"
        )
    return notes


def _read_back(path: Path, content: bytes, kind: Format, options: DataOptions) -> Rows:
    """What the corrected file says, read among the files that lie beside it, such as lists of classes."""
    with tempfile.TemporaryDirectory() as folder:
        for beside in path.absolute().parent.iterdir():
            if beside.name != path.name and beside.suffix.lower() not in IMAGE_SUFFIXES:
                Path(folder, beside.name).symlink_to(beside)
        corrected = Path(folder, path.name)
        corrected.write_bytes(content)
        return _in_order(corrected, kind, options)


def _lost(before: Rows, changes: Changes, after: Rows) -> list[tuple[int, str]]:
    """Place and class of every label that is not what it should be in the file that was written.

    A class that a list format no longer names is no loss where it is not present.
    """
    return [
        (place, name)
        for place, ((_, _, was), changed, (_, _, now)) in enumerate(zip(before, changes, after, strict=True))
        for name, code in ({**was, **changed}).items()
        if now.get(name, ABSENT if code == PRESENT else code) != code
    ]


def answered(
    parts: Mapping[str | None, LabelledImages], answers: Mapping[str, Mapping[str, int]]
) -> dict[str | None, LabelledImages]:
    """Labelled images by split, with these answers in the place of their labels.

    Raises:
        UserError: an image or a class of the answers is not in the data.
    """
    some = next(iter(parts.values()))
    images = [
        (one, _file_name(image))
        for part in parts.values()
        for one, image in zip(part.image_ids, part.images, strict=True)
    ]
    answers = _matched(answers, images, some.class_names, some.source)
    columns = {name: column for column, name in enumerate(some.class_names)}
    found = {}
    for split, part in parts.items():
        labels = part.labels.copy()
        for row, image_id in enumerate(part.image_ids):
            for name, code in answers.get(image_id, {}).items():
                labels[row, columns[name]] = code
        found[split] = replace(part, labels=labels)
    return found


def _matched(
    answers: Mapping[str, Mapping[str, int]], images: Sequence[tuple[str, str]], names: Sequence[str], data: str
) -> dict[str, Mapping[str, int]]:
    """Answers by image id; an image may also be called by the name of its file, where no other has it.

    Raises:
        UserError: an image or a class is not in the data.
    """
    count = Counter(file for _, file in images)
    known = {file: image_id for image_id, file in images if file and count[file] == 1} | {one: one for one, _ in images}
    found: dict[str, Mapping[str, int]] = {}
    away = [image for image in answers if image not in known]
    if away:
        more = f" ({len(away):,} of the {counted(len(answers), 'answered image')} are missing)" if away[1:] else ""
        raise UserError(f"{data}: no image {away[0]!r}, which is answered{more}; {nearest(away[0], known)}")
    for image, one in answers.items():
        odd = next((name for name in one if name not in names), None)
        if odd is not None:
            raise UserError(f"{data}: no class {odd!r}, which is answered; {nearest(odd, names)}")
        found[known[image]] = {**found.get(known[image], {}), **one}
    return found


def _file_name(image: ImageRef) -> str:
    return image.path.name if isinstance(image, ImageFile) else ""


def _in_order(path: Path, kind: Format, options: DataOptions) -> Rows:
    """Every image with its labels by class: in the order of the file, or by image id where it is read by split."""
    reader = kind.reader
    if isinstance(reader, BySplit):
        alike = replace(options, format=kind.name, coco_images="all", skip_unreadable=True)
        part = load_data(str(path), options=alike)
        return _rows(part.image_ids, part.images, part.labels, part.class_names)
    rows = reader(path, options.images, options)
    return _rows(rows.image_ids, rows.images, rows.labels, rows.class_names)


def _rows(image_ids: Sequence[str], images: Sequence[ImageRef], labels: Labels, class_names: Sequence[str]) -> Rows:
    return [
        (image_id, _file_name(image), dict(zip(class_names, row.tolist(), strict=True)))
        for image_id, image, row in zip(image_ids, images, labels, strict=True)
    ]
