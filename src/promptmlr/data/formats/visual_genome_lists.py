"""Visual Genome's most frequent categories as benchmarks use them: lists of images, and numbers of their categories.

`train_list_500.txt` and `test_list_500.txt` name the images of a split, `vg_category_500_labels_index.json` or
`vg_category_200_labels_index.json` maps each image to a list of numbers from 0 (HCPLab-SYSU/SSGRL,
`datasets/vgdataset.py` and `main_vg.sh`; HCPLab-SYSU/HCP-MLR-PL, `datasets/vg.py`, 200 categories and the same lists).
Numbers that are not listed are absent there; `--unlisted` says so, or that nobody looked. No file names the categories,
and a text tower needs names: `--classes` gives them, in the order of their numbers.
"""

import re
from pathlib import Path

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import BySplit, Format
from promptmlr.data.labelled import LabelledImages
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.data.rows import ListedRows, Names, malformed_refused, read_json, read_lines
from promptmlr.errors import UserError, nearest
from promptmlr.options.data import between_commas

__all__ = ["FORMAT", "labels_file", "read_visual_genome_lists"]

_LABELS = re.compile(r"vg_category_(\d+)_labels_index\.json")


def labels_file(path: Path) -> tuple[Path, int] | None:
    """The file of labels in a folder, or the file itself, and its number of categories; the larger one of several."""
    candidates = path.iterdir() if path.is_dir() else [path]
    found = [(int(match[1]), one) for one in candidates if (match := _LABELS.fullmatch(one.name)) and one.is_file()]
    return (max(found)[1], max(found)[0]) if found else None


def read_visual_genome_lists(
    path: Path, split: str | None, purpose: Purpose, images: Path | None, options: DataOptions
) -> LabelledImages:
    """Read the images of one split.

    Args:
        path: the folder, or the file of labels in it.
        split: "train" or "test"; by default `purpose`.
        purpose: see `split`.
        images: the folder of the images, by default that of the file; found anywhere below it, as in VG_100K and
            VG_100K_2.
        options: `unlisted`, and `classes`, all names in the order of their numbers.

    Raises:
        UserError: a file is missing or damaged, an image is in no file, or there are other than as many names.
        Unclear: `options` do not say what a number means that is not listed.
    """
    found = labels_file(path)
    if found is None:
        raise UserError(f"{path}: no vg_category_500_labels_index.json or vg_category_200_labels_index.json")
    file, count = found
    names = between_commas(options.classes or "")
    if not names:
        raise UserError(f"{file} numbers its {count} categories; name them with --classes NAMES.txt, a line for each")
    if len(names) != count:
        raise UserError(f"--classes: {len(names)} names for the {count} categories of {file.name}; give as many")
    known = splits(file.parent)
    if (split or purpose) not in known:
        raise UserError(f"{file.parent}: no list {split or purpose}_list_500.txt; {nearest(split or purpose, known)}")
    listed = file.parent / f"{split or purpose}_list_500.txt"
    image_ids = read_lines(listed)
    with malformed_refused(file, "SSGRL"):
        numbers = dict(read_json(file))

    def where(row: int) -> str:
        return f"{listed}, line {row + 1}"

    finder = ImageFinder(images or file.parent)
    rows = ListedRows(
        [Names(_named(numbers, image_id, names, where(row), file)) for row, image_id in enumerate(image_ids)],
        image_ids,
        [finder.find(image_id, where(row)) for row, image_id in enumerate(image_ids)],
        splits=[split or purpose] * len(image_ids),
        kind="Visual Genome",
        path=file,
        where=where,
        class_names=names,
    ).labelled(options)
    return rows.part(split or purpose, purpose, options)


def splits(path: Path) -> list[str]:
    """Train and test, as far as there are lists of them."""
    folder = path if path.is_dir() else path.parent
    return [name for name in ("train", "test") if (folder / f"{name}_list_500.txt").is_file()]


def _named(numbers: dict[str, object], image_id: str, names: list[str], where: str, file: Path) -> list[str]:
    listed = numbers.get(image_id)
    if not isinstance(listed, list):
        raise UserError(f"{where}: {file.name} has no list of categories for {image_id!r}; download both again")
    odd = next((one for one in listed if type(one) is not int or not 0 <= one < len(names)), None)
    if odd is not None:
        raise UserError(f"{file}, {image_id!r}: {odd!r} is no number from 0 to {len(names) - 1}")
    return [names[one] for one in listed]


FORMAT = Format(
    "visual-genome-lists",
    "Visual Genome's 500 or 200 categories by number, with train_list_500.txt and test_list_500.txt",
    lambda source: labels_file(source.path) is not None,
    BySplit(read_visual_genome_lists, splits),
    selects=True,
)
