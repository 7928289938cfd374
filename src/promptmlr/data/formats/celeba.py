"""CelebA's attributes: `list_attr_celeba.txt`, with its splits in `list_eval_partition.txt`.

The first line counts the images, the second names the attributes, every other one is an image and 1 or -1 per
attribute: 1 present, -1 absent, nothing unknown (Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015).
Splits 0, 1 and 2 are train, valid and test, as in `CelebA` of torchvision's `datasets/celeba.py`.

DeepFashion's `list_attr_img.txt` is alike: its second line is `image_name attribute_labels`, the names are in
`list_attr_cloth.txt` beside it, and 0 is unknown (Liu et al., "DeepFashion", CVPR 2016).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from promptmlr.data.columns import IMAGES, folded
from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import Format, Source
from promptmlr.data.options import DataOptions
from promptmlr.data.rows import LabelledRows, check_rows, read_lines
from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN
from promptmlr.names import checked_class_names

__all__ = ["FORMAT", "read_celeba"]

_CODES = {"1": PRESENT, "-1": ABSENT}
_UNSURE = {**_CODES, "0": UNKNOWN}
_SPLITS = {"0": "train", "1": "valid", "2": "test", "train": "train", "val": "valid", "test": "test"}
_UNNAMED, _NAMES = "attribute_labels", ("list_attr_cloth.txt", "list_attr_items_names.txt")
_PARTITION = "list_eval_partition.txt"


def read_celeba(path: Path, images: Path | None, _options: DataOptions) -> LabelledRows:
    """Read the attributes of all images.

    Args:
        path: the file; the splits are in a file beside it, or in `Eval` beside its folder.
        images: the folder of the images, by default that of the file, or the one above `Anno`; found anywhere below it.

    Raises:
        UserError: a file is missing or damaged; names line and column.
    """
    head, lines = (found := read_lines(path))[:2], found[2:]
    if len(head) < 2 or not head[0].isdigit():
        raise UserError(f"{path}: not as CelebA writes it: a line that counts images, and one that names attributes")
    class_names = checked_class_names(_attributes(path, head[1].split()), str(path))
    codes = _UNSURE if head[1].split()[-1] == _UNNAMED else _CODES
    labels = np.empty((len(lines), len(class_names)), dtype=np.int8)
    image_ids = []
    for row, line in enumerate(lines):
        image_id, *cells = line.split()
        if len(cells) != len(class_names):
            raise UserError(f"{path}, line {row + 3}: {len(cells)} values for {len(class_names)} attributes")
        odd = next((column for column, cell in enumerate(cells) if cell not in codes), None)
        if odd is not None:
            raise UserError(
                f"{path}, line {row + 3}, {class_names[odd]!r}: {cells[odd]!r} is none of {', '.join(codes)}"
            )
        labels[row] = [codes[cell] for cell in cells]
        image_ids.append(image_id)

    def where(row: int) -> str:
        return f"{path}, line {row + 3}"

    check_rows(path, image_ids, where)
    if int(head[0]) != len(lines):
        raise UserError(f"{path}: it counts {head[0]} images in line 1 and lists {len(lines)}; download it again")
    finder = ImageFinder(images or (path.parent.parent if path.parent.name == "Anno" else path.parent))
    return LabelledRows(
        image_ids,
        [finder.find(image_id, where(row)) for row, image_id in enumerate(image_ids)],
        labels,
        class_names,
        _splits(path, image_ids),
        "CelebA",
        path,
        where,
        f"no {_PARTITION}",
    )


def _attributes(path: Path, header: Sequence[str]) -> Sequence[str]:
    """The names of the attributes, without that of the column of images."""
    if header[-1] != _UNNAMED:
        return header[1:] if folded(header[0]) in IMAGES else header
    file = next((path.parent / name for name in _NAMES if (path.parent / name).is_file()), None)
    if file is None:
        raise UserError(f"{path}: no {_NAMES[0]} beside it, which has the names of its attributes")
    return [line.rsplit(maxsplit=1)[0] for line in read_lines(file)[2:]]


def _splits(path: Path, image_ids: list[str]) -> list[str] | None:
    places = [path.parent / _PARTITION, path.parent.parent / "Eval" / _PARTITION]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return None
    found = dict(line.split(maxsplit=1) for line in read_lines(file) if len(line.split()) == 2)
    for image_id in image_ids:
        if found.get(image_id) not in _SPLITS:
            raise UserError(f"{file}: {image_id} is {found.get(image_id)!r}, and not 0, 1 or 2; download it again")
    return [_SPLITS[found[image_id]] for image_id in image_ids]


def _recognised(source: Source) -> bool:
    if source.suffix != ".txt" or len(source.start) < 3:
        return False
    count, header, first = source.start[:3]
    return (
        count.strip().isdigit()
        and (header.split()[-1:] == [_UNNAMED] or len(first.split()) - len(header.split()) in (0, 1))
        and len(first.split()) > 1
        and set(first.split()[1:]) <= set(_UNSURE)
    )


FORMAT = Format(
    "celeba",
    "CelebA's list_attr_celeba.txt: a count, the names of the attributes, and 1 or -1 for each image",
    _recognised,
    read_celeba,
    says_all=True,
)
