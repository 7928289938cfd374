"""`promptmlr probe-text`: what CLIP's text says of absence."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from promptmlr.cli.options import (
    BackboneName,
    CacheFolder,
    CacheKey,
    CocoImages,
    Crowd,
    Delimiter,
    Device,
    Difficult,
    Format,
    ImageFolder,
    ImageSize,
    NoCache,
    Pretrained,
    SkipUnreadable,
    Split,
    StorageFormat,
    Unlisted,
    Workers,
    data_options,
    open_tower,
    read_data,
    region_cache,
)
from promptmlr.cli.outcome import MeasurementPage, check_page, say
from promptmlr.cli.progress import Terminal
from promptmlr.errors import UserError

if TYPE_CHECKING:
    from promptmlr.data import LabelledImages

__all__ = ["probe_text"]


def probe_text(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="Labelled images (a .csv file, a VOC devkit or COCO folder, or 'scenes') for the AUC of 'no X'.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names, by commas. (default: DATA's; without DATA the drawn world's for scenes, else COCO's)",
            show_default=False,
        ),
    ] = None,
    templates: Annotated[
        Literal["single", "imagenet"],
        typer.Option(
            help="single: 'photo of a X', 'picture of a X', 'Not a photo of a X'. imagenet: open_clip's templates for "
            "ImageNet, and each with 'not' before it."
        ),
    ] = "single",
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
    image_size: ImageSize = None,
    split: Split = None,
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
    device: Device = "cpu",
    workers: Workers = 2,
    out: Annotated[
        Path | None,
        typer.Option(help="A folder for settings.json, cosines.csv, classes.csv and auc.csv.", show_default=False),
    ] = None,
    report: MeasurementPage = None,
) -> None:
    """Measure how near negative prompts are to positive ones, and whether "no X" fires on images of X."""
    from promptmlr.features import readable_regions
    from promptmlr.maps.sentences import TEMPLATES
    from promptmlr.paper.text_probe.report import probe_findings, write_probe
    from promptmlr.paper.text_probe.scores import presence_scores, prompt_cosines
    from promptmlr.regions import FreshRegions

    check_page(out, report)
    if data is not None and classes is not None:
        raise UserError("--classes: DATA has its own classes; leave out one of the two")
    labelled = None
    if data is not None:
        options = data_options(difficult, coco_images, crowd, unlisted, delimiter, skip_unreadable)
        labelled = read_data(data, split, "test", format, images, options)
    names = _class_names(classes, labelled, backbone)
    tower = open_tower(data or "", backbone, pretrained, image_size, "float32", device)
    cosines = prompt_cosines(tower, names, TEMPLATES[templates])
    scores = []
    if labelled is not None:
        fresh = FreshRegions(tower, labelled.images, workers=workers, skip_unreadable=skip_unreadable)
        kept, source = readable_regions(fresh, region_cache(cache, no_cache, storage, cache_key), Terminal())
        scores = presence_scores(tower, source, labelled.labels[kept], names)
    if out is not None:
        setting = {
            "backbone": tower.identity(),
            "templates": TEMPLATES[templates].__dict__,
            "data": None if labelled is None else labelled.source,
        }
        write_probe(out, cosines, templates, scores, setting)
    lead = f"Prompts of {len(names)} classes through the text tower of {tower.name}."
    say("What text says of absence", lead, probe_findings(cosines, templates, scores), out, report)


def _class_names(classes: str | None, labelled: "LabelledImages | None", backbone: str | None) -> tuple[str, ...]:
    """The classes of the data, or those asked for, or those of the drawn world, or COCO's."""
    from promptmlr.data.coco import COCO_CLASS_NAMES
    from promptmlr.names import checked_class_names
    from promptmlr.scenes import CLASS_NAMES

    if labelled is not None:
        return labelled.class_names
    if classes is not None:
        return checked_class_names(classes.split(","), "--classes")
    return CLASS_NAMES if backbone == "scenes" else COCO_CLASS_NAMES
