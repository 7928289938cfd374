"""Every data format as one `LabelledImages`."""

from pathlib import Path

import numpy as np

from promptmlr.data.coco import has_instances, read_coco
from promptmlr.data.csv import read_csv
from promptmlr.data.images import ImageFile, ImageRef, UnreadableImage, find_images, open_image
from promptmlr.data.labelled import LabelledImages
from promptmlr.data.masks import load_keep_mask
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.data.scenes import DrawnImage, is_scenes, read_scenes
from promptmlr.data.voc import find_devkit, read_voc
from promptmlr.errors import UserError, nearest
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN
from promptmlr.names import checked_path

__all__ = [
    "FORMATS",
    "DataOptions",
    "DrawnImage",
    "ImageFile",
    "ImageRef",
    "LabelledImages",
    "UnreadableImage",
    "find_images",
    "is_scenes",
    "load_data",
    "load_keep_mask",
    "open_image",
]

FORMATS = {"coco": read_coco, "csv": read_csv, "scenes": read_scenes, "voc": read_voc}
_DEFAULTS = DataOptions()


def load_data(
    data: str,
    split: str | None = None,
    *,
    purpose: Purpose = "train",
    format: str | None = None,  # noqa: A002
    images: Path | None = None,
    options: DataOptions = _DEFAULTS,
) -> LabelledImages:
    """Read a data set in any of the formats.

    Args:
        data: a `.csv`, a VOC devkit folder, a COCO folder, or drawn scenes (`read_scenes`).
        split: the part to read, as the format names it; by default the one for `purpose`.
        purpose: "train" or "test".
        format: a key of `FORMATS`, where the name and the content of `data` do not tell.
        images: the folder of the images, where it is not the usual one.
        options: what the formats leave open.

    Raises:
        UserError: there is no such data, it is damaged, or (for training) none of its labels is known.
    """
    path = checked_path(data)
    kind = _detect(data) if format is None else format
    if kind not in FORMATS:
        raise UserError(f"unknown format {kind!r}; {nearest(kind, FORMATS)}")
    loaded = FORMATS[kind](path, split, purpose, images, options)
    counts = {code: np.count_nonzero(loaded.labels == code) for code in (PRESENT, ABSENT, UNKNOWN)}
    if purpose == "train" and counts[UNKNOWN] == loaded.labels.size:
        raise UserError(f"{loaded.source}: all {loaded.labels.size} labels are unknown; nothing can be learned")
    size = "{:,} images, {:,} classes; ".format(*loaded.labels.shape)
    return loaded.with_notes(
        size + f"{counts[PRESENT]:,} labels present, {counts[ABSENT]:,} absent, {counts[UNKNOWN]:,} unknown"
    )


def _detect(data: str) -> str:
    path = Path(data)
    if is_scenes(data):
        return "scenes"
    if path.suffix.lower() == ".csv":
        return "csv"
    if not path.exists():
        raise UserError(f"no such file or folder: {data}")
    kinds = [kind for kind, found in (("voc", find_devkit(path)), ("coco", has_instances(path))) if found]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        raise UserError(f"{data} holds both VOC and COCO data; choose with --format voc or --format coco")
    raise UserError(
        f"{data} is no data set: it is neither a .csv nor a folder with JPEGImages and ImageSets/Main (VOC) or "
        "annotations/instances_*.json (COCO); --format says what it is"
    )
