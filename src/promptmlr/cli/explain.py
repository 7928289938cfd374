"""`promptmlr explain`: the similarity maps of presence and absence, as a picture and in numbers."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from promptmlr.cli.options import Cache, NewTower, Overwrite, PositiveInt, Report, Unnamed
from promptmlr.cli.outcome import check_free, check_page, say
from promptmlr.cli.progress import Terminal
from promptmlr.errors import UserError
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions

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
    overwrite: Overwrite = False,
    report: Report = None,
    top_share: float = 0.2,
    resamples: PositiveInt = 1000,
    tower: NewTower = NewTowerOptions(),
    reading: Unnamed = DataOptions(),
    regions: Cache = CacheOptions(),
) -> None:
    """Show where an image is most similar to the presence and the absence of a class, and compare both maps.

    Args:
        subject: A run (a folder, or hf://owner/name), a name from `promptmlr backbones`, 'scenes', or a checkpoint file
            in OpenAI's layout.
        target: An image file, for a picture; or a .csv file, a VOC or COCO folder, or 'scenes', to measure on all
            images how similar the two maps are.
        classes: Class names, separated by commas. (default: the run's most probable classes on IMAGE; all classes of
            DATA)
        captions: Also show the map of this sentence over IMAGE; may be repeated.
        templates: Sentences for a BACKBONE. single: 'a photo of a X.' and 'not a photo of a X.'. imagenet: the mean of
            open_clip's templates for ImageNet, and of each with 'not' before it.
        out: File for the picture of IMAGE (.png; its numbers are written next to it, as .maps.csv), or for the numbers
            of DATA (.csv). (default: explain.png or explain.csv, next to --report)
        top_share: Share of regions with the highest similarity, whose overlap between the two maps is measured.
        resamples: How many bootstrap resamples of DATA's images to draw.
    """
    from promptmlr.maps.explaining import Explanation
    from promptmlr.maps.explaining import explain as explained
    from promptmlr.maps.image import numbers_beside
    from promptmlr.names import checked_class_names

    names = None if classes is None else checked_class_names(classes.split(","), "--classes")
    said = tuple(captions or ())
    asked = Explanation(subject, target, names, said, templates, top_share, resamples, tower, reading, regions)
    out = _out(out, report, target, ".csv" if asked.of_data else ".png")
    for path in (out,) if asked.of_data else (out, numbers_beside(out)):
        check_free(path, overwrite)
    check_page(out, report)
    found = explained(asked, Terminal())
    found.write(out)
    say(found.title, found.lead, found.findings(out), out, report)


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
