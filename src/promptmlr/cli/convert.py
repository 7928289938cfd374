"""`promptmlr convert`: labels from one format to another."""

from pathlib import Path
from typing import Annotated

import typer

from promptmlr.cli.options import (
    CocoImages,
    Crowd,
    Data,
    Delimiter,
    Difficult,
    Format,
    ImageFolder,
    LabelCount,
    Observed,
    SkipUnreadable,
    Split,
    Unlisted,
    Workers,
    data_options,
    observation,
)
from promptmlr.cli.progress import Terminal, note

__all__ = ["convert"]


def convert(
    data: Data,
    destination: Annotated[
        Path,
        typer.Argument(
            help="A .csv, .json or .parquet file, which points at the images where they are (.parquet holds them); "
            "or a new folder, which the images are copied into."
        ),
    ],
    to: Annotated[str, typer.Option(help="The format to write.", show_default=False)],
    split: Split = None,
    format: Format = None,  # noqa: A002
    images: ImageFolder = None,
    difficult: Difficult = "skip",
    coco_images: CocoImages = "all",
    crowd: Crowd = "present",
    unlisted: Unlisted = None,
    delimiter: Delimiter = None,
    present_only: Annotated[
        bool,
        typer.Option(
            "--present-only",
            help="Write lists of what is present, although the format cannot tell absent labels from unknown ones.",
        ),
    ] = False,
    observed: Observed = None,
    labels: LabelCount = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what --observed keeps and --hold-out takes.")] = 0,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Only the first N images of each split, by name.", show_default=False),
    ] = None,
    hold_out: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Of data without splits, put this share of the images into test and the others into train, by their "
            "names and --seed: an image stays where it is when others are added.",
            show_default=False,
        ),
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="Link to the images instead of copying them.")] = False,
    skip_unreadable: SkipUnreadable = False,
    workers: Workers = 2,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write labels in another format, all splits or one; what it cannot hold is refused or said, never lost silently.

    --observed P hides labels of all splits but test, its protocols and --labels those of training alone: they are what
    `promptmlr train` sees with the same options.

    csv: a column per class, 1, 0 or blank. long-csv: image, label, value. list-csv: image, labels, negatives, as
    fastai reads it. folder: a text file of names per image. coco: annotations without boxes, with LVIS's
    neg_category_ids where labels are partial. label-studio: tasks with the labels as pre-annotations. fiftyone:
    labels.json and data/. huggingface: an imagefolder, or one .parquet.
    """
    from promptmlr.data import load_data, load_parts
    from promptmlr.data.convert import convert as write
    from promptmlr.data.convert import held_out, readable, thinned

    hiding = observation(observed, labels)
    options = data_options(difficult, coco_images, crowd, unlisted, delimiter, skip_unreadable)
    if split is None:
        parts = load_parts(data, format=format, images=images, options=options)
    else:
        parts = {split: load_data(data, split, purpose="test", format=format, images=images, options=options)}
    if hold_out is not None:
        parts = held_out(parts, hold_out, seed)
    parts = thinned(parts, hiding, seed, limit)
    for part in parts.values():
        for line in (part.source, *part.notes):
            note(line)
    if skip_unreadable:
        parts = readable(parts, Terminal(), workers)
    lost = write(
        parts,
        destination,
        to,
        link=link,
        present_only=present_only,
        overwrite=overwrite,
        reporter=Terminal(),
    )
    for line in lost:
        note(f"note: {line}")
    typer.echo(f"{sum(len(part.image_ids) for part in parts.values()):,} images in {destination}")
