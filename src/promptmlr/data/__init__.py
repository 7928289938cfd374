"""Every data format as one `LabelledImages`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from promptmlr.data.classes import classes_of
from promptmlr.data.formats import FORMATS, detect_format, format_named
from promptmlr.data.formats.base import BySplit, Format
from promptmlr.data.formats.scenes import DrawnImage, is_scenes
from promptmlr.data.images import ImageFile, ImageRef, UnreadableImage, find_images, open_image
from promptmlr.data.labelled import LabelledImages
from promptmlr.data.masks import load_keep_mask
from promptmlr.data.options import DataOptions, Purpose
from promptmlr.errors import UserError, nearest
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN
from promptmlr.names import checked_path
from promptmlr.options.data import Unclear, between_commas, with_commas

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

_DEFAULTS = DataOptions()
# what tells the formats of tables apart
_SHAPES = ("image_column", "label_column", "value_column", "class_after", "ignore", "sheet", "header")
_NOTHING: Mapping[str, str | float] = MappingProxyType({})


def load_data(
    data: str, purpose: Purpose = "train", options: DataOptions = _DEFAULTS, like: Mapping[str, str | float] = _NOTHING
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
    try:
        kind, path, options = _settled(data, options, like)
    except Unclear as unclear:
        raise _followed(unclear, lambda file: load_data(file, purpose, options, like)) from None
    reader = kind.reader
    if isinstance(reader, BySplit):
        loaded = reader.read(path, options.split, purpose, options.images, options)
    else:
        loaded = reader(path, options.images, options).part(options.split, purpose, options)
    loaded = loaded if kind.selects else _selected(loaded, options)
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
    try:
        kind, path, options = _settled(data, options)
    except Unclear as unclear:
        raise _followed(unclear, lambda file: load_parts(file, options)) from None
    reader = kind.reader
    if isinstance(reader, BySplit):
        parts: dict[str | None, LabelledImages] = {
            name: reader.read(path, name, "train", options.images, options) for name in reader.splits(path) or (None,)
        }
    else:
        parts = reader(path, options.images, options).parts(options)
    if not kind.selects:
        parts = {split: _selected(part, options) for split, part in parts.items()}
    if not parts:
        raise UserError(f"{data}: not in the format {kind.name}, which is {kind.description}")
    first = next(iter(parts.values()))
    return {
        split: (one := part.with_classes(first.class_names)).with_notes(_size(one)) for split, part in parts.items()
    }


def _settled(
    data: str, options: DataOptions, like: Mapping[str, str | float] = _NOTHING
) -> tuple[Format, Path, DataOptions]:
    """The format of the data, where they are, and the options with what is known of data in the same format."""
    path = checked_path(data)
    if options.classes is not None and _is_file(options.classes):  # a run keeps what the file says
        options = replace(options, classes=with_commas(classes_of(options.classes)))
    if "trained" in like:
        options = replace(options, trained=tuple(between_commas(str(like["trained"]))))
    shape = {name: value for name, value in like.items() if name in _SHAPES}
    kind = format_named(options.format or detect_format(data, options.or_else(shape)))
    if options.unlisted is not None and kind.says_all:
        raise UserError(
            f"{data}: --unlisted is for lists of names; {kind.name} says of every class what it is: leave it out"
        )
    known = like if like.get("format") == kind.name else {}
    return kind, path, options.or_else({"format": kind.name, **known})


def _is_file(text: str) -> bool:
    """Whether a list of names is a file instead; hundreds of names are longer than a path may be."""
    try:
        return Path(text).is_file()
    except OSError:
        return False


def _followed(unclear: Unclear, read: Callable[[str], object]) -> Unclear:
    """The same with each file that may be meant read to the end, so that what is proposed reads it."""
    readings: dict[str, Mapping[str, Any]] = {}
    for when, fields in unclear.readings.items():
        try:
            read(str(fields["data"]))
            readings[when] = fields
        except Unclear as deeper:
            start = "" if len(unclear.readings) == 1 else f"{when} and "
            readings |= {f"{start}{more}": {**fields, **further} for more, further in deeper.readings.items()}
        except UserError:
            continue
    return Unclear(unclear.problem, readings or unclear.readings, unclear.data)


def _selected(loaded: LabelledImages, options: DataOptions) -> LabelledImages:
    """The classes of `options.classes`, or those that are not in `options.ignore`."""
    said = options.ignore if options.classes is None else options.classes
    if said is None:
        return loaded
    names = [name.replace("_", " ") for name in between_commas(said)]
    odd = next((name for name in names if name not in loaded.class_names), None)
    if odd is not None and not {"ignore", "classes"} & set(options.inherited):
        raise UserError(f"{loaded.source}: no class {odd!r}; {nearest(odd, loaded.class_names)}")
    if options.classes is None:
        return loaded.of_classes([name for name in loaded.class_names if name not in names])
    return loaded.of_classes([name for name in names if name in loaded.class_names])


def _size(loaded: LabelledImages) -> str:
    counts = {code: np.count_nonzero(loaded.labels == code) for code in (PRESENT, ABSENT, UNKNOWN)}
    size = "{:,} images, {:,} classes; ".format(*loaded.labels.shape)
    return size + f"{counts[PRESENT]:,} labels present, {counts[ABSENT]:,} absent, {counts[UNKNOWN]:,} unknown"
