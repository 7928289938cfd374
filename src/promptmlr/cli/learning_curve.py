"""`promptmlr learning-curve`: the score against labels observed, and what more would buy."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from promptmlr.cli.options import (
    BackboneName,
    CacheFolder,
    CacheKey,
    CocoImages,
    Crowd,
    Data,
    Delimiter,
    Device,
    Difficult,
    Format,
    ImageFolder,
    ImageSize,
    NoCache,
    PrecisionOption,
    Pretrained,
    SkipUnreadable,
    StorageFormat,
    Unlisted,
    Workers,
    data_options,
    observations,
    open_tower,
    read_data,
    region_cache,
)
from promptmlr.cli.outcome import MeasurementPage, check_page, say
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import UserError

if TYPE_CHECKING:
    from promptmlr.data import LabelledImages

__all__ = ["learning_curve"]

SHARES = "0.0625,0.125,0.25,0.5,0.75,1"


def learning_curve(
    data: Data,
    method: Annotated[str, typer.Option(help="A name of `promptmlr methods`.")] = "anchored",
    shares: Annotated[
        str | None,
        typer.Option(
            help=f"Parts of the observed labels to train on, by commas. (default: {SHARES})", show_default=False
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,…", help="Instead of --shares: numbers of the observed labels, by commas.", show_default=False
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many times labels are left out at each part.")] = 3,
    recipe: Annotated[str, typer.Option(help="default, released, or a TOML file.")] = "default",
    epochs: Annotated[int | None, typer.Option(min=1, help="(default: the recipe's)", show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for curve.csv, ahead.csv and curve.png.", show_default=False)
    ] = None,
    report: MeasurementPage = None,
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
    image_size: ImageSize = None,
    format: Format = None,  # noqa: A002
    images: ImageFolder = None,
    difficult: Difficult = "skip",
    coco_images: CocoImages = "annotated",
    crowd: Crowd = "present",
    unlisted: Unlisted = None,
    delimiter: Delimiter = None,
    skip_unreadable: SkipUnreadable = False,
    cache: CacheFolder = None,
    no_cache: NoCache = False,
    storage: StorageFormat = "float16",
    cache_key: CacheKey = "file",
    precision: PrecisionOption = "auto",
    device: Device = "cpu",
    workers: Workers = 2,
) -> None:
    """Train on parts of the observed labels; draw mAP against their number, and say what ten times more would buy.

    Scored on the test split, or where there is none on a quarter of the images, which no training sees.
    """
    from promptmlr.advice.curve_report import CurveOutputs
    from promptmlr.advice.learning_curve import learning_curve as measured
    from promptmlr.crossvalidation import Subject
    from promptmlr.features import readable_regions
    from promptmlr.labels import UNKNOWN
    from promptmlr.recipes import load_recipe
    from promptmlr.regions import FreshRegions

    check_page(out, report)
    parts = observations(shares, labels, SHARES, "--shares")
    if wrong := [part.name for part in parts if part.protocol in ("positive-only", "single-positive")]:
        raise UserError(f"--shares: {wrong[0]} makes no curve; give parts of the observed labels, such as 0.25,0.5,1")
    load_recipe(recipe, method, epochs=epochs)
    options = data_options(difficult, coco_images, crowd, unlisted, delimiter, skip_unreadable)
    train = read_data(data, None, "train", format, images, options)
    test = train if train.without_splits else read_data(data, None, "test", format, images, options)
    train, test = _parted(train, test)
    tower = open_tower(data, backbone, pretrained, image_size, precision, device, train)
    stored = region_cache(cache, no_cache, storage, cache_key)
    sources = []
    for part in (train, test):
        fresh = FreshRegions(tower, part.images, workers=workers, skip_unreadable=skip_unreadable)
        kept, source = readable_regions(fresh, stored, Terminal())
        sources.append((source, part.labels[kept]))
    (regions, seen), tested = sources
    known = float((seen != UNKNOWN).mean())
    curve = measured(
        Subject(tower, train.class_names, regions, seen),
        tested,
        method,
        load_recipe(recipe, method, observed=known, epochs=epochs),
        parts=parts,
        seeds=seeds,
        reporter=Terminal(),
    )
    outputs = CurveOutputs(curve, method, f"{len(test.images):,} images of {test.source}")
    if out is not None:
        outputs.write(out)
    say(outputs.title, outputs.lead, outputs.findings(), out, report)


def _parted(train: "LabelledImages", test: "LabelledImages") -> "tuple[LabelledImages, LabelledImages]":
    """Both as they are where they hold different images, else a quarter of them for the test."""
    import numpy as np

    if not set(train.image_ids) & set(test.image_ids):
        return train, test.with_classes(train.class_names)
    order = np.random.default_rng(0).permutation(len(train.image_ids))
    quarter = max(len(order) // 4, 1)
    note(f"no test split: {quarter} of {len(order)} images are held out to score on")
    return train.rows(np.sort(order[quarter:])), train.rows(np.sort(order[:quarter]))
