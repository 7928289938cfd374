"""`promptmlr explain`: the similarity maps of presence and absence, as a picture and in numbers."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from promptmlr.cli.options import Cache, NewTower, PositiveInt, Report, Unnamed
from promptmlr.cli.outcome import check_page, say
from promptmlr.cli.progress import Terminal
from promptmlr.errors import UserError
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptmlr.maps.subject import Subject
    from promptmlr.run import Run

__all__ = ["explain"]


def explain(
    subject: Annotated[str, Parameter(name="RUN|BACKBONE")],
    target: Annotated[str, Parameter(name="IMAGE|DATA")],
    /,
    *,
    classes: str | None = None,
    captions: Annotated[list[str] | None, Parameter(metavar="STR")] = None,
    templates: Literal["single", "imagenet"] = "single",
    out: Path | None = None,
    report: Report = None,
    top_share: float = 0.2,
    resamples: PositiveInt = 1000,
    tower: NewTower = NewTowerOptions(),
    reading: Unnamed = DataOptions(),
    regions: Cache = CacheOptions(),
) -> None:
    """Show where an image is most similar to the presence and to the absence of a class, and how far the two agree.

    Args:
        subject: A run (a folder, or hf://owner/name); or a name of `promptmlr backbones`, 'scenes', or a checkpoint
            file in OpenAI's layout.
        target: An image file for a picture; or a .csv file, a VOC devkit or COCO folder, or 'scenes' for how much the
            maps have in common on all its images.
        classes: Names, by commas. (default: a run's most probable ones on IMAGE; all of DATA)
        captions: A sentence whose map is shown over IMAGE as well; may be repeated.
        templates: What a BACKBONE is asked. single: 'a photo of a X.' and 'not a photo of a X.'. imagenet: the mean of
            open_clip's templates for ImageNet, and of each with 'not' before it.
        out: The picture of IMAGE (.png; its numbers go beside it, to .maps.csv), or the numbers of DATA (.csv).
            (default: explain.png or explain.csv, beside --report)
        top_share: Share of the regions, those where a map is highest, whose overlap is measured.
        resamples: Bootstrap resamples of DATA's images.
    """
    from promptmlr.data import ImageFile, is_scenes
    from promptmlr.maps.dataset import explain_images
    from promptmlr.maps.image import explain_image
    from promptmlr.maps.subject import subject_of_backbone, subject_of_run
    from promptmlr.names import checked_class_names, checked_path
    from promptmlr.opening import open_cache, open_data, open_tower

    if not 0 < top_share < 1:
        raise UserError(f"--top-share is {top_share}; give a fraction between 0 and 1, such as 0.2")
    known_as_data = reading.format is not None or is_scenes(target) or target.lower().endswith(".csv")
    of_data = known_as_data or checked_path(target).is_dir()
    if of_data and captions:
        raise UserError("--captions are drawn over one IMAGE, and this is DATA")
    names = None if classes is None else checked_class_names(classes.split(","), "--classes")
    out = _out(out, report, target, ".csv" if of_data else ".png")
    check_page(out, report)
    run = _run(subject)
    _check(subject, run, tower, templates)

    def explained(class_names: "Sequence[str]") -> "Subject":
        if run is None:
            named = replace(tower, backbone=subject, precision=tower.precision or "float32")
            return subject_of_backbone(open_tower(target, named, Terminal()), class_names, templates)
        run.use_backbone(tower.backbone, tower.pretrained, tower.device)
        return subject_of_run(run)

    if of_data:
        like = None if run is None else run.config.data.reading
        of_all = explain_images(
            explained,
            open_data(target, "test", reading, Terminal(), like),
            names,
            run=run,
            share=top_share,
            resamples=resamples,
            cache=open_cache(regions),
            skip_unreadable=reading.skip_unreadable,
            workers=tower.workers,
            reporter=Terminal(),
        )
        of_all.write(out)
        say(of_all.title, of_all.lead, of_all.findings(out), out, report)
    else:
        if run is None and names is None and not captions:
            raise UserError("a bare backbone has no classes of its own; name some, such as --classes dog,cat")
        table = out.with_suffix(".maps.csv")
        of_one = explain_image(explained(names or ()), ImageFile(Path(target)), names, captions or (), top_share)
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


def _check(subject: str, run: "Run | None", tower: NewTowerOptions, templates: str) -> None:
    """Refuse options that are about the other kind of subject."""
    if run is None:
        if tower.backbone is not None:
            raise UserError(f"--backbone says where a RUN finds its weights, and {subject} is a backbone itself")
    elif tower.image_size is not None or tower.precision is not None or templates != "single":
        raise UserError(f"run {run.path} has its own image size, precision and sides; leave out the options for them")


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
