"""`promptmlr predict`: labels for new images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from promptmlr.cli.options import (
    BackboneName,
    BatchSize,
    Device,
    Pretrained,
    Shares,
    TemplatesOption,
    Texts,
    Workers,
    open_tower,
)
from promptmlr.cli.progress import ProgressAlone, note
from promptmlr.errors import UserError

if TYPE_CHECKING:
    from promptmlr.run import Run

__all__ = ["predict"]


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN] IMAGES...",
            help="A run folder, or hf://owner/name or hf://owner/name@revision; then files, folders, glob patterns, or "
            ".npz or .parquet files for a run that was trained on features. With --classes no run.",
        ),
    ],
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="LIST|FILE",
            help="Tag with these classes, without a run or any label: names between commas, or a file with one a line.",
            show_default=False,
        ),
    ] = None,
    shares: Shares = None,
    templates: TemplatesOption = None,
    texts: Texts = None,
    also: Annotated[
        str | None,
        typer.Option(
            metavar="LIST|FILE",
            help="Add classes to the run by name, as CLIP sees them, on the line that its own classes have in common.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the rows go: .csv, .jsonl or .parquet.")] = Path("predictions.csv"),
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Labels are the classes above it. (default: the run's, one per class; 0.5 where it is not calibrated)",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            help="Label only where this share of labels is right, as far as the run can tell: 0.9 for nine of ten.",
            metavar="SHARE",
            show_default=False,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            help="Label the K most probable classes, however improbable; with --threshold, those of them above it.",
            metavar="K",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out where it exists.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse unreadable images.")] = False,
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
    device: Device = "cpu",
    batch_size: BatchSize = None,
    workers: Workers = 2,
) -> None:
    """Write the probability of every class, and the labels, for files, folders and globs of images, or for features.

    The classes are those of a trained run; or with --classes any, as the untouched CLIP sees them.
    """
    from promptmlr.cli.progress import Progress
    from promptmlr.cli.thresholds import threshold_of
    from promptmlr.data.classes import classes_of
    from promptmlr.data.features import has_features
    from promptmlr.data.images import UnreadableImage
    from promptmlr.prediction import PredictionSummary, check_wanted, predict_to_file
    from promptmlr.run import load_run
    from promptmlr.thresholds import check_precision

    if out.exists() and not overwrite:
        raise UserError(f"{out} exists; name another file with --out, or replace it with --overwrite")
    names = () if classes is None else classes_of(classes)
    check_wanted(out, threshold, top, names)
    if precision is not None:
        check_precision(precision)
    if classes is not None and also is not None:
        raise UserError("--also adds classes to a run, and --classes stands for one; name all of them in --classes")
    if classes is not None:
        images = paths
        loaded = _untrained(images, names, shares, templates, texts, backbone, pretrained, device, strict, workers)
    else:
        run, *images = paths
        _check_run(run, images, {"--share": shares, "--templates": templates, "--texts": texts})
        loaded = load_run(run)
        if not any(has_features(Path(name)) for name in images):
            loaded.use_backbone(backbone, pretrained, device)
        elif backbone is not None or pretrained is not None:
            raise UserError("features were computed before, so leave out --backbone and --pretrained")
        elif also is not None:
            raise UserError("--also needs texts of the new classes from the run's tower, and features come without one")
        loaded = loaded if also is None else _with_classes(loaded, also, images, workers)
    if precision is not None:
        threshold = threshold_of(loaded, precision, threshold)
    say = Progress("predicted")

    def on_batch(summary: PredictionSummary, bad: list[UnreadableImage]) -> None:
        for error in bad:
            note(f"unreadable, left out: {error}")
        say(summary.predicted + summary.unreadable)

    summary = predict_to_file(
        loaded,
        images,
        out,
        threshold=threshold,
        top=top,
        strict=strict,
        batch_size=batch_size,
        workers=workers,
        device=device,
        on_batch=on_batch,
    )
    note(f"predicted: {summary.predicted}, unreadable: {summary.unreadable}; {out}")


def _check_run(run: str, images: list[str], about_classes: dict[str, str | None]) -> None:
    """Say what was probably meant where a run and its images are not what was given."""
    if not images:
        raise UserError(
            f"{run} alone: predict takes a run and images, as in `promptmlr predict RUN photos`; without a run it "
            "takes images and --classes"
        )
    for option, value in about_classes.items():
        if value is not None:
            raise UserError(f"{option} is about --classes; for a run it is an option of `promptmlr train`")


def _with_classes(run: "Run", also: str, images: list[str], workers: int) -> "Run":
    """The run with the classes that were named; how little is known of these is said."""
    from promptmlr.data.classes import classes_of
    from promptmlr.more_classes import with_classes
    from promptmlr.names import first_names

    names = classes_of(also, "--also")
    more = with_classes(run, names, images, workers=workers)
    note(
        f"added by name, on the line that the run's classes have in common, and unchecked: {first_names(names)}; a "
        "few labels of them, and `promptmlr train`, would settle it"
    )
    return more


def _untrained(
    images: list[str],
    names: tuple[str, ...],
    shares: str | None,
    templates: Literal["one", "simple", "imagenet"] | None,
    texts: str | None,
    backbone: str | None,
    pretrained: str | None,
    device: str,
    strict: bool,
    workers: int,
) -> "Run":
    """CLIP's zero-shot for classes without a run; how little is known of its probabilities is said."""
    from promptmlr.data.features import has_features
    from promptmlr.data.images import find_images
    from promptmlr.data.shares import shares_of
    from promptmlr.data.texts import texts_of
    from promptmlr.hub import hub_name
    from promptmlr.prior.zero_shot import assumed_share
    from promptmlr.tagging import zero_shot_run

    for name in images:
        if hub_name(name) is not None or Path(name, "config.json").is_file():
            raise UserError(f"{name} is a run, and knows its classes; leave out either the run or --classes")
        if has_features(Path(name)):
            raise UserError(
                f"{name} holds features, and no tower reads --classes for them: give it class_names and text, and "
                "`promptmlr train` makes a run of it, without labels too"
            )
    share = None if shares is None else shares_of(shares, names)
    found = find_images(images)
    tower = open_tower("images", backbone, pretrained, None, "auto", device)
    run = zero_shot_run(
        tower,
        found,
        names,
        share=share,
        templates=templates or "one",
        texts=None if texts is None else texts_of(texts, names),
        skip_unreadable=not strict,
        workers=workers,
        reporter=ProgressAlone(),
    )
    level = (
        f"a class is assumed to be in {100 * assumed_share(len(names)):.3g} % of the images on average, which --share "
        "corrects"
        if share is None
        else "how often classes are present is what --share says"
    )
    note(
        f"this is CLIP's zero-shot, its probabilities and thresholds are unchecked: {level}; a few labels, and "
        "`promptmlr train`, would settle it"
    )
    return run
