"""`promptmlr inspect`: what a data set holds, before anything is trained on it."""

from pathlib import Path
from typing import Annotated

import typer

from promptmlr.cli.options import (
    BackboneName,
    CocoImages,
    Crowd,
    Data,
    Delimiter,
    Device,
    Difficult,
    Format,
    ImageFolder,
    Pretrained,
    Split,
    Unlisted,
    Workers,
    data_options,
    open_tower,
)
from promptmlr.cli.outcome import MeasurementPage, check_page, publish, say
from promptmlr.cli.progress import Terminal, note

__all__ = ["inspect"]


def inspect(
    data: Data,
    labels_only: Annotated[
        bool, typer.Option("--labels-only", help="Do not read the images: nothing of unreadable ones and duplicates.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder for inspection.md, classes.csv, pairs.csv, names.csv, duplicates.csv …", show_default=False
        ),
    ] = None,
    report: MeasurementPage = None,
    split: Split = None,
    format: Format = None,  # noqa: A002
    images: ImageFolder = None,
    difficult: Difficult = "skip",
    coco_images: CocoImages = "all",
    crowd: Crowd = "present",
    unlisted: Unlisted = None,
    delimiter: Delimiter = None,
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
    device: Device = "cpu",
    workers: Workers = 2,
) -> None:
    """Count labels, find images that are broken or there twice, and class names that CLIP is likely to misread.

    Of pairs of classes, those are shown that come together, or avoid each other, more than chance explains. Duplicates
    are images of the same bytes, of the same pixels, or alike by a perceptual hash; those across splits and with labels
    that contradict each other stand first. With --backbone, class names also by the cosine of their texts.
    """
    from promptmlr.advice.inspection.inspecting import inspect_data
    from promptmlr.data import load_data, load_parts

    check_page(out, report)
    options = data_options(difficult, coco_images, crowd, unlisted, delimiter, True)
    if split is None:
        parts = load_parts(data, format=format, images=images, options=options)
    else:
        parts = {split: load_data(data, split, purpose="test", format=format, images=images, options=options)}
    for part in parts.values():
        for line in part.notes[1:]:
            note(line)
    first = next(iter(parts.values()))
    given = first.features is not None and bool(first.features.text)
    tower = open_tower(data, backbone, pretrained, None, "auto", device, first) if backbone or given else None
    found = inspect_data(data, parts, backbone=tower, read_images=not labels_only, workers=workers, reporter=Terminal())
    if out is None:
        say(found.title, found.lead, found.findings(), None, None)
    else:
        publish(found, out, report)
