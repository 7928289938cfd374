"""`promptmlr explain`: where presence and absence light up, in a picture and in numbers."""

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
    PrecisionOption,
    Pretrained,
    SkipUnreadable,
    Split,
    StorageFormat,
    Unlisted,
    Workers,
    common_classes,
    data_options,
    open_tower,
    read_data,
    region_cache,
)
from promptmlr.cli.outcome import check_page, say
from promptmlr.cli.progress import Terminal
from promptmlr.errors import UserError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptmlr.data import LabelledImages
    from promptmlr.labels import Labels
    from promptmlr.maps.subject import Subject
    from promptmlr.run import Run

__all__ = ["explain"]


def explain(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="RUN|BACKBONE",
            help="A run (a folder, or hf://owner/name); or a name of `promptmlr backbones`, 'scenes', or a checkpoint "
            "file in OpenAI's layout.",
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE|DATA",
            help="An image file for a picture; or a .csv file, a VOC devkit or COCO folder, or 'scenes' for how much "
            "the maps have in common on all its images.",
        ),
    ],
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names, by commas. (default: a run's most probable ones on IMAGE; all of DATA)", show_default=False
        ),
    ] = None,
    captions: Annotated[
        list[str] | None,
        typer.Option(help="A sentence whose map is shown over IMAGE as well; may be repeated.", show_default=False),
    ] = None,
    templates: Annotated[
        Literal["single", "imagenet"],
        typer.Option(
            help="What a BACKBONE is asked. single: 'a photo of a X.' and 'not a photo of a X.'. imagenet: the mean of "
            "open_clip's templates for ImageNet, and of each with 'not' before it."
        ),
    ] = "single",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The picture of IMAGE (.png; its numbers go beside it, to .maps.csv), or the numbers of DATA (.csv). "
            "(default: explain.png or explain.csv, beside --report)",
            show_default=False,
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the result as a page as well.", show_default=False)] = None,
    top_share: Annotated[
        float, typer.Option(help="Of the regions, those where a map is highest, whose overlap is measured.")
    ] = 0.2,
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap resamples of DATA's images.")] = 1000,
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
    precision: PrecisionOption = "float32",
    device: Device = "cpu",
    workers: Workers = 2,
) -> None:
    """Show where the presence and the absence of a class light up, and measure how much the two have in common."""
    from promptmlr.data import ImageFile, is_scenes
    from promptmlr.features import readable_regions
    from promptmlr.maps.dataset import explain_data
    from promptmlr.maps.image import explain_image
    from promptmlr.maps.subject import subject_of_backbone, subject_of_run
    from promptmlr.names import checked_class_names, checked_path
    from promptmlr.regions import FreshRegions

    if not 0 < top_share < 1:
        raise UserError(f"--top-share is {top_share}; give a fraction between 0 and 1, such as 0.2")
    known_as_data = format is not None or is_scenes(target) or target.lower().endswith(".csv")
    of_data = known_as_data or checked_path(target).is_dir()
    if of_data and captions:
        raise UserError("--captions are drawn over one IMAGE, and this is DATA")
    names = None if classes is None else checked_class_names(classes.split(","), "--classes")
    out = _out(out, report, target, ".csv" if of_data else ".png")
    check_page(out, report)
    run = _run(subject)
    if run is None and backbone is not None:
        raise UserError(f"--backbone says where a RUN finds its weights, and {subject} is a backbone itself")
    if run is not None and (image_size is not None or precision != "float32" or templates != "single"):
        raise UserError(f"run {run.path} has its own image size, precision and sides; leave out the options for them")

    def explained(class_names: "Sequence[str]") -> "Subject":
        if run is None:
            tower = open_tower(target, subject, pretrained, image_size, precision, device)
            return subject_of_backbone(tower, class_names, templates)
        run.use_backbone(backbone, pretrained, device)
        return subject_of_run(run)

    if of_data:
        options = data_options(difficult, coco_images, crowd, unlisted, delimiter, skip_unreadable)
        labelled = read_data(target, split, "test", format, images, options)
        common, labels = _labels_of(run, labelled)
        for name in names or ():
            if name not in common:
                raise UserError(f"--classes: there are no labels for {name!r}; {nearest(name, common)}")
        viewed = explained(labelled.class_names)
        fresh = FreshRegions(viewed.backbone, labelled.images, workers=workers, skip_unreadable=skip_unreadable)
        kept, source = readable_regions(fresh, region_cache(cache, no_cache, storage, cache_key), Terminal())
        of_all = explain_data(
            viewed,
            source,
            [labelled.images[index] for index in kept],
            labels[kept],
            names or common,
            labelled.source,
            share=top_share,
            resamples=resamples,
            reporter=Terminal(),
        )
        of_all.write(out)
        say(of_all.title, of_all.lead, of_all.findings(out), out, report)
    else:
        if run is None and names is None and not captions:
            raise UserError("a bare backbone has no classes of its own; name some, such as --classes dog,cat")
        table = out.with_suffix(".maps.csv")
        viewed = explained(names or ())
        of_one = explain_image(viewed, ImageFile(Path(target)), names, captions or (), top_share)
        of_one.write(out, table)
        say(of_one.title, of_one.lead, of_one.findings(table), out, report)


def _run(subject: str) -> "Run | None":
    """The run of that folder; None for the name of a backbone."""
    from promptmlr.hub import hub_name
    from promptmlr.names import checked_path
    from promptmlr.run import load_run

    if hub_name(subject) is not None:
        return load_run(subject)
    path = checked_path(subject)
    if subject == "scenes" or path.is_file():
        return None
    if path.is_dir() or Path(f"{path}.partial").is_dir():
        return load_run(path)
    if path.name != subject:
        raise UserError(f"{subject}: no such run folder or checkpoint file")
    return None


def _out(out: Path | None, report: Path | None, target: str, suffix: str) -> Path:
    """Where the result goes, which is nowhere that something is read from.

    Raises:
        UserError: another suffix, or a file that would be written over.
    """
    chosen = out or (Path() if report is None else report.parent) / f"explain{suffix}"
    if chosen.suffix.lower() != suffix:
        raise UserError(f"--out {chosen}: the suffix must be {suffix}")
    for path in (chosen, report):
        if path is not None and path.resolve() == Path(target).resolve():
            raise UserError(f"{path} would be written over, and it is what is explained; name another file")
    return chosen


def _labels_of(run: "Run | None", labelled: "LabelledImages") -> "tuple[tuple[str, ...], Labels]":
    """Classes with labels, and (N, C) labels for the C classes that have maps; unknown where the data has none."""
    import numpy as np

    from promptmlr.labels import UNKNOWN

    if run is None:
        return labelled.class_names, labelled.labels
    rows, columns = common_classes(run.class_names, labelled.class_names)
    labels = np.full((len(labelled.labels), len(run.class_names)), UNKNOWN, dtype=np.int8)
    labels[:, rows] = labelled.labels[:, columns]
    return tuple(run.class_names[row] for row in rows), labels
