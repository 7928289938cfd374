"""Every data format as one `LabelledImages`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from promptmlr.data.coco import coco_splits, has_instances, read_coco
from promptmlr.data.csv import read_csv_rows
from promptmlr.data.features import has_features, read_feature_rows
from promptmlr.data.fiftyone import has_fiftyone, is_fiftyone, read_fiftyone_rows
from promptmlr.data.huggingface import has_huggingface, read_huggingface_rows
from promptmlr.data.images import ImageFile, ImageRef, UnreadableImage, find_images, open_image
from promptmlr.data.label_studio import is_label_studio, read_label_studio_rows
from promptmlr.data.labelled import LabelledImages
from promptmlr.data.list_csv import is_list, read_list_csv_rows
from promptmlr.data.long_csv import is_long, read_long_csv_rows
from promptmlr.data.masks import load_keep_mask
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.data.rows import LabelledRows, read_json
from promptmlr.data.scenes import DrawnImage, is_scenes, read_scenes
from promptmlr.data.table import table_header
from promptmlr.data.text_files import has_text_files, read_text_file_rows
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
    "detect_format",
    "find_images",
    "is_scenes",
    "load_data",
    "load_keep_mask",
    "load_parts",
    "open_image",
]

_BY_SPLIT = {"coco": read_coco, "scenes": read_scenes, "voc": read_voc}
_BY_ROWS: dict[str, Callable[[Path, Path | None, DataOptions], LabelledRows]] = {
    "csv": read_csv_rows,
    "features": read_feature_rows,
    "fiftyone": read_fiftyone_rows,
    "folder": read_text_file_rows,
    "huggingface": read_huggingface_rows,
    "label-studio": read_label_studio_rows,
    "list-csv": read_list_csv_rows,
    "long-csv": read_long_csv_rows,
}
FORMATS = tuple(sorted([*_BY_SPLIT, *_BY_ROWS]))
_SAY_ALL = ("coco", "csv", "features", "scenes", "voc")  # of every class, what it is
_DEFAULTS = DataOptions()
_NOTHING: Mapping[str, str] = MappingProxyType({})


def load_data(
    data: str, purpose: Purpose = "train", options: DataOptions = _DEFAULTS, like: Mapping[str, str] = _NOTHING
) -> LabelledImages:
    """Read a data set in any of the formats.

    Args:
        data: a file or a folder of one of `FORMATS`, or drawn scenes (`read_scenes`).
        purpose: "train" or "test", which chooses the split where `options` name none.
        options: what the formats leave open.
        like: `LabelledImages.reading` of other data: where these are in the same format, they are read alike, as far as
            `options` do not say otherwise.

    Raises:
        UserError: there is no such data, it is damaged, or it leaves open what unlisted classes are.
    """
    kind, path, options = _settled(data, options, like)
    if kind in _BY_SPLIT:
        loaded = _BY_SPLIT[kind](path, options.split, purpose, options.images, options)
    else:
        loaded = _BY_ROWS[kind](path, options.images, options).part(options.split, purpose, options)
    return replace(loaded.with_notes(_size(loaded)), reading=options.recorded())


def load_parts(data: str, options: DataOptions = _DEFAULTS) -> dict[str | None, LabelledImages]:
    """Read all splits of a data set, in the order of its files; under None where it has none. Arguments as above.

    Of VOC and drawn scenes these are the splits for training and testing, of COCO all that it has; the one that
    `options` name, where they do.

    Raises:
        UserError: as `load_data`; the splits of a COCO folder have different classes.
    """
    if options.split is not None:
        return {options.split: load_data(data, "test", options)}
    kind, path, options = _settled(data, options)
    images = options.images
    if kind in _BY_ROWS:
        parts = _BY_ROWS[kind](path, images, options).parts(options)
    elif kind == "coco" and coco_splits(path):
        parts = {name: read_coco(path, name, "train", images, options) for name in coco_splits(path)}
    else:
        read = [_BY_SPLIT[kind](path, None, purpose, images, options) for purpose in ("train", "test")]
        parts = {one.source.split(", split ")[-1].split(" (")[0]: one for one in read}
    first = next(iter(parts.values()))
    return {
        split: (one := part.with_classes(first.class_names)).with_notes(_size(one)) for split, part in parts.items()
    }


def detect_format(data: str) -> str:
    """Which of `FORMATS` a file or folder is in, by its name and content.

    Raises:
        UserError: there is nothing, or it is none or several of them.
    """
    path = Path(data)
    if is_scenes(data):
        return "scenes"
    if path.suffix.lower() == ".csv":
        header = table_header(path)
        return "long-csv" if is_long(header) else "list-csv" if is_list(header) else "csv"
    if not path.exists():
        raise UserError(f"no such file or folder: {data}")
    if path.is_file():
        return _of_file(path)
    looks: dict[str, Callable[[Path], object]] = {
        "voc": find_devkit,
        "coco": has_instances,
        "fiftyone": has_fiftyone,
    }
    weaker: dict[str, Callable[[Path], object]] = {"huggingface": has_huggingface, "folder": has_text_files}
    kinds = [kind for kind, look in looks.items() if look(path)]
    kinds = (
        kinds or [kind for kind, look in weaker.items() if look(path)][:1]
    )  # a stray .parquet or .txt is no data set
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        names = {"voc": "VOC", "coco": "COCO", "fiftyone": "FiftyOne"}
        raise UserError(
            f"{data} holds both {' and '.join(names[kind] for kind in kinds)} data; choose with "
            f"{' or '.join(f'--format {kind}' for kind in kinds)}"
        )
    tables = sorted(path.glob("*.csv"))
    if tables:
        raise UserError(f"{data} is a folder with a table in it; name the table: {tables[0]}")
    raise UserError(
        f"{data} is no data set: neither a .csv, .json, .npz or .parquet nor a folder with JPEGImages and "
        "ImageSets/Main (VOC), annotations/instances_*.json (COCO), labels.json (FiftyOne), metadata.jsonl or .parquet "
        "(Hugging Face) or text files beside images; --format says what it is"
    )


def _of_file(path: Path) -> str:
    if has_features(path):
        return "features"
    if path.suffix.lower() == ".parquet" or path.name in ("metadata.jsonl", "metadata.csv"):
        return "huggingface"
    if path.suffix.lower() == ".json":
        content = read_json(path)
        if is_label_studio(content):
            return "label-studio"
        if is_fiftyone(content):
            return "fiftyone"
        if isinstance(content, dict) and "annotations" in content:
            raise UserError(
                f"{path}: COCO is read from the folder above annotations/instances_*.json; name that folder"
            )
        raise UserError(f"{path}: neither Label Studio's tasks nor FiftyOne's labels.json or samples.json")
    raise UserError(f"{path} is no data set: a file is a .csv, .json, .npz or .parquet; --format says what it is")


def _settled(data: str, options: DataOptions, like: Mapping[str, str] = _NOTHING) -> tuple[str, Path, DataOptions]:
    """The format, and the options with it, and with what is known of data in the same one."""
    path = checked_path(data)
    kind = options.format or detect_format(data)
    if kind not in FORMATS:
        raise UserError(f"unknown format {kind!r}; {nearest(kind, FORMATS)}")
    if options.unlisted is not None and kind in _SAY_ALL:
        raise UserError(
            f"{data}: --unlisted is for lists of names; {kind} says of every class what it is: leave it out"
        )
    return kind, path, options.or_else({"format": kind, **(like if like.get("format") == kind else {})})


def _size(loaded: LabelledImages) -> str:
    counts = {code: np.count_nonzero(loaded.labels == code) for code in (PRESENT, ABSENT, UNKNOWN)}
    size = "{:,} images, {:,} classes; ".format(*loaded.labels.shape)
    return size + f"{counts[PRESENT]:,} labels present, {counts[ABSENT]:,} absent, {counts[UNKNOWN]:,} unknown"
