"""Open Images' image-level labels: one file, or a folder of them by split.

A row of `SPLIT-annotations-human-imagelabels.csv` is `ImageID,Source,LabelName,Confidence`: people looked for one class
in one image, and found it (1) or not (0); what has no row is unknown. Rows whose source is `machine`, of the files
`machine-imagelabels`, have a classifier's confidence that nobody verified (Kuznetsova et al., "The Open Images Dataset
V4", IJCV 2020). Rows of box files (`annotations-bbox`) say that a class is present.
`class-descriptions*.csv` beside the file has the names of the classes, which the rows call by Freebase's numbers.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import BySplit, Format, Source, spaced
from promptmlr.data.labelled import LabelledImages
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.data.rows import LabelledRows, check_rows, split_for
from promptmlr.errors import UserError, nearest
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.names import checked_class_names, first_names
from promptmlr.options.data import between_commas

__all__ = ["FORMAT", "read_open_images"]

_COLUMNS = ("ImageID", "LabelName", "Confidence")
_SPLIT = re.compile(r"(?:oidv\d+-)?([a-z]+)-annotations-(human-imagelabels|machine-imagelabels|bbox)")
_MOST_CELLS = 8 * 10**9  # labels are held in memory, a byte each


def read_open_images(
    path: Path, split: str | None, purpose: Purpose, images: Path | None, options: DataOptions
) -> LabelledImages:
    """Read the labels of one split.

    Args:
        path: a file, or a folder of `SPLIT-annotations-human-imagelabels*.csv`.
        split: what the file's name starts with, such as "validation"; by default that of `purpose`.
        purpose: chooses between train and test (or else validation).
        images: the folder of the images, by default that of the file; they are found by their id, below it or in it.
        options: `machine_labels`, the confidence from which on an unverified label counts as present; `classes`.

    Raises:
        UserError: a file is missing, damaged or has another form; the split is unclear; the labels do not fit into
            memory.
    """
    file, split = _file(path, split, purpose)
    names = _names(file)
    table = _rows(file, options, names)
    ids, rows = _encoded(table["ImageID"])
    marks, columns = _encoded(table["LabelName"])
    if len(ids) * len(marks) > _MOST_CELLS:
        raise UserError(
            f"{file}: {len(ids):,} images and {len(marks):,} classes are {len(ids) * len(marks) / 1e9:.0f} GB of "
            "labels; name the classes that you need with --classes"
        )
    labels, contradictions = _labels(table["Confidence"].to_numpy(), rows, columns, (len(ids), len(marks)), options)
    finder = ImageFinder(images or file.parent)
    said = [f"{contradictions:,} labels that rows contradict each other about are unknown"] if contradictions else []

    def where(row: int) -> str:
        return f"{file}, image {ids[row]}"

    check_rows(file, ids, where)
    return LabelledRows(
        ids,
        [finder.find(image_id, where(row)) for row, image_id in enumerate(ids)],
        labels,
        checked_class_names([names.get(mark, mark) for mark in marks], str(file)),
        None if split is None else [split] * len(ids),
        "Open Images",
        file,
        where,
        "a file of one split",
        tuple(said),
    ).part(split, purpose, options)


def splits(path: Path) -> list[str]:
    """The splits that a folder has a file of human labels for; none of one file."""
    return sorted(_files(path))


def _files(folder: Path) -> dict[str, Path]:
    found = {}
    for file in sorted(folder.glob("*-annotations-human-imagelabels*.csv")):
        if match := _SPLIT.match(file.name):
            found[match[1]] = file
    return found


def _file(path: Path, split: str | None, purpose: Purpose) -> tuple[Path, str | None]:
    if path.is_file():
        named = _SPLIT.match(path.name)
        if split is not None and (named is None or named[1] != split):
            raise UserError(f"{path} is one split of its own; leave out --split {split}, or name the folder")
        return path, split
    files = _files(path)
    if not files:
        raise UserError(f"{path}: no SPLIT-annotations-human-imagelabels.csv in it")
    chosen = split or split_for(purpose, files)
    if chosen not in files:
        raise UserError(f"{path}: no labels of split {chosen or purpose!r}; {nearest(chosen or purpose, files)}")
    return files[chosen], chosen


def _rows(file: Path, options: DataOptions, names: Mapping[str, str]) -> pa.Table:
    """The rows that count; where classes are chosen, theirs alone, as all would not fit into memory."""
    kinds = {"ImageID": pa.string(), "LabelName": pa.string(), "Confidence": pa.float32()}
    columns = [*_COLUMNS, "Source"] if "Source" in Source(str(file)).header else list(_COLUMNS)
    try:
        table = pa_csv.read_csv(
            file, convert_options=pa_csv.ConvertOptions(column_types=kinds, include_columns=columns)
        )
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    except (pa.ArrowException, KeyError) as error:
        raise UserError(f"{file}: not as Open Images writes it: {' '.join(str(error).split())[:200]}") from error
    confidence = table["Confidence"]
    if pc.any(pc.or_(pc.less(confidence, 0), pc.greater(confidence, 1))).as_py():
        raise UserError(f"{file}: a confidence outside 0 to 1; download the file again")
    verified = pc.or_(pc.equal(confidence, 0), pc.equal(confidence, 1))
    if "Source" in columns:
        verified = pc.and_(verified, pc.not_equal(table["Source"], "machine"))
    if options.machine_labels is None:
        kept = table.filter(verified)
    else:
        kept = table.filter(pc.or_(verified, pc.greater_equal(confidence, options.machine_labels)))
    if options.classes is not None:
        chosen = {spaced(name) for name in between_commas(options.classes)}
        marks = [mark for mark in pc.unique(kept["LabelName"]).to_pylist() if spaced(names.get(mark, mark)) in chosen]
        kept = kept.filter(pc.is_in(kept["LabelName"], pa.array(marks, pa.string())))
        if not len(kept):
            raise UserError(f"{file}: no label of {first_names(sorted(chosen))}; names are those of class-descriptions")
    if not len(kept):
        raise UserError(
            f"{file}: no label that a person verified; --machine-labels 0.8 takes the machine's from that confidence on"
        )
    return kept


def _encoded(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """The different values in the order in which they come, and which of them each row has."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def _labels(
    confidence: NDArray[np.float32],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    shape: tuple[int, int],
    options: DataOptions,
) -> tuple[Labels, int]:
    """(N, C) int8, and how many are said to be both; what a person verified outweighs a machine's confidence."""
    labels = np.full(shape, UNKNOWN, dtype=np.int8)
    absent, present, likely = confidence == 0, confidence == 1, (confidence > 0) & (confidence < 1)
    labels[rows[present], columns[present]] = PRESENT
    contradicted = labels[rows[absent], columns[absent]] == PRESENT
    labels[rows[absent], columns[absent]] = np.where(contradicted, UNKNOWN, ABSENT)
    if options.machine_labels is not None:
        open_still = labels[rows[likely], columns[likely]] == UNKNOWN
        labels[rows[likely][open_still], columns[likely][open_still]] = PRESENT
    return labels, int(np.count_nonzero(contradicted))


def _names(file: Path) -> dict[str, str]:
    """Freebase's number of a class → its name, from `class-descriptions*.csv`."""
    found: dict[str, str] = {}
    for descriptions in sorted(file.parent.glob("*class-descriptions*.csv")):
        options = pa_csv.ReadOptions(column_names=["mark", "name"])
        try:
            table = pa_csv.read_csv(descriptions, read_options=options)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{descriptions}: {' '.join(str(error).split())[:200]}; download it again") from error
        found |= dict(zip(table["mark"].to_pylist(), table["name"].to_pylist(), strict=True))
    return found


FORMAT = Format(
    "open-images",
    "Open Images' *-annotations-human-imagelabels.csv, or a folder of them",
    lambda source: set(_COLUMNS) <= set(source.header) or (source.path.is_dir() and bool(_files(source.path))),
    BySplit(read_open_images, splits),
    says_all=True,
)
