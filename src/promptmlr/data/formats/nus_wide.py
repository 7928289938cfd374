"""NUS-WIDE: a list of images and, for each concept, a file with a line of 1 or 0 for each image.

`ImageList/Imagelist.txt` goes with `Groundtruth/AllLabels/Labels_CONCEPT.txt`; `TrainImagelist.txt` and
`TestImagelist.txt` with `Groundtruth/TrainTestLabels/Labels_CONCEPT_Train.txt` and `_Test.txt` (Chua et al.,
"NUS-WIDE", CIVR 2009). 1 is present. Benchmarks take 0 for absent; `--unlisted` says so, or that nobody looked.
"""

from pathlib import Path

import numpy as np

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import BySplit, Format
from promptmlr.data.labelled import LabelledImages
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.data.rows import LabelledRows, check_rows, read_lines
from promptmlr.errors import UserError, nearest
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN
from promptmlr.names import checked_class_names
from promptmlr.options.data import Unclear

__all__ = ["FORMAT", "read_nus_wide"]

_LISTS, _LABELS = "ImageList", "Groundtruth"
_READINGS = {
    "it means absent, as benchmarks take it": {"unlisted": "absent"},
    "nobody may have looked": {"unlisted": "unknown"},
}


def read_nus_wide(
    path: Path, split: str | None, purpose: Purpose, images: Path | None, options: DataOptions
) -> LabelledImages:
    """Read one split, or all images where the folder has no lists of splits.

    Args:
        path: the folder above `ImageList` and `Groundtruth`.
        split: "train" or "test"; by default `purpose`.
        purpose: see `split`.
        images: the folder that the list's paths start from, by default `path`.
        options: `unlisted`, what a 0 means.

    Raises:
        UserError: a file is missing, or has other than a 1 or 0 for every image.
        Unclear: `options` do not say what a 0 means.
    """
    if options.unlisted is None:
        raise Unclear(f"{path}: 0 in its label files may mean absent or unknown", _READINGS)
    known = splits(path)
    if known and (split or purpose) not in known:
        raise UserError(f"{path}: no split {split or purpose!r}; {nearest(split or purpose, known)}")
    word = (split or purpose).capitalize() if known else ""
    listed = path / _LISTS / f"{word}Imagelist.txt"
    image_ids = [line.replace("\\", "/") for line in read_lines(listed)]
    files = _concepts(path, word)
    if not files:
        raise UserError(f"{path / _LABELS}: no Labels_*.txt that go with {listed.name}")
    columns = [_column(file, len(image_ids), options) for file in files.values()]

    def where(row: int) -> str:
        return f"{listed}, line {row + 1}"

    check_rows(listed, image_ids, where)
    finder = ImageFinder(images or path)
    return LabelledRows(
        image_ids,
        [finder.find(image_id, where(row)) for row, image_id in enumerate(image_ids)],
        np.stack(columns, axis=1),
        checked_class_names(files, str(path / _LABELS)),
        [split or purpose] * len(image_ids) if known else None,
        "NUS-WIDE",
        path,
        where,
        f"no {_LISTS}/TrainImagelist.txt",
        (f"0 in the label files is {options.unlisted}",),
    ).part((split or purpose) if known else split, purpose, options)


def splits(path: Path) -> list[str]:
    """Both train and test, where the folder has their lists."""
    return [name for name in ("train", "test") if (path / _LISTS / f"{name.capitalize()}Imagelist.txt").is_file()]


def _concepts(path: Path, word: str) -> dict[str, Path]:
    """Concept → its file, of a split or of all images."""
    folder = path / _LABELS / ("TrainTestLabels" if word else "AllLabels")
    files = sorted(folder.glob(f"Labels_*_{word}.txt" if word else "Labels_*.txt"))
    return {file.stem.removeprefix("Labels_").removesuffix(f"_{word}"): file for file in files}


def _column(file: Path, count: int, options: DataOptions) -> np.ndarray:
    codes = {"1": PRESENT, "0": ABSENT if options.unlisted == "absent" else UNKNOWN}
    lines = read_lines(file)
    if len(lines) != count:
        raise UserError(f"{file}: {len(lines)} lines for {count} images; download it again")
    odd = next((number for number, line in enumerate(lines, start=1) if line not in codes), None)
    if odd is not None:
        raise UserError(f"{file}, line {odd}: {lines[odd - 1]!r} is neither 1 nor 0")
    return np.array([codes[line] for line in lines], dtype=np.int8)


FORMAT = Format(
    "nus-wide",
    "NUS-WIDE: a folder with ImageList and Groundtruth",
    lambda source: (source.path / _LISTS).is_dir() and (source.path / _LABELS).is_dir(),
    BySplit(read_nus_wide, splits),
)
