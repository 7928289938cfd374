"""`promptmlr predict`: labels for new images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from promptmlr.cli.options import Batch, Overwrite, Precision, Share, Texts, Tower
from promptmlr.cli.outcome import check_free
from promptmlr.cli.progress import Progress, Terminal, note
from promptmlr.errors import UserError
from promptmlr.options import TextOptions, TowerOptions

if TYPE_CHECKING:
    from promptmlr.run import Run

__all__ = ["predict"]


def predict(
    *run_and_images: Annotated[str, Parameter(name="[RUN] IMAGES", required=True)],
    out: Path = Path("predictions.csv"),
    classes: str | None = None,
    also: str | None = None,
    threshold: float | None = None,
    precision: Precision = None,
    top: int | None = None,
    share: Share = None,
    overwrite: Overwrite = False,
    strict: bool = False,
    tower: Tower = TowerOptions(),
    batch_size: Batch = None,
    texts: Texts = TextOptions(),
) -> None:
    """Write the labels and the probability of every class, for images or for features of images.

    The classes are those of a trained run. With --classes they can be any names, which CLIP scores without training.

    Args:
        run_and_images: A run folder, or hf://owner/name or hf://owner/name@revision; then image files, folders and glob
            patterns, or .npz or .parquet files for a run that was trained on features. No run with --classes.
        out: File for the rows: .csv, .jsonl or .parquet.
        classes: Use these classes, without a run and without labels: names separated by commas, or a text file with one
            per line.
        also: Add classes to the run by name (written as in --classes). CLIP scores them, with the calibration that the
            run's own classes share.
        threshold: A class above this probability is a label. (default: the run's threshold for each class, or 0.5 if
            the run is not calibrated; with --classes, the threshold of each class with the greatest expected F1)
        top: Take this many classes, the most probable ones, even if they are improbable. With --threshold, only those
            above it.
        strict: Stop at an unreadable image instead of reporting it and going on.
    """
    from promptmlr.data.classes import classes_of
    from promptmlr.data.images import UnreadableImage
    from promptmlr.prediction import PredictionSummary, check_wanted, predict_to_file
    from promptmlr.scoring import threshold_of
    from promptmlr.tagging import run_of_classes
    from promptmlr.thresholds import check_precision

    check_free(out, overwrite)
    names = () if classes is None else classes_of(classes)
    check_wanted(out, threshold, top, names)
    if precision is not None:
        check_precision(precision)
        if threshold is not None:
            raise UserError("--precision and --threshold both say where a label begins; give one of them")
    if classes is not None and also is not None:
        raise UserError("--also adds classes to a run, and --classes stands for one; name all of them in --classes")
    if classes is not None:
        images = list(run_and_images)
        run = run_of_classes(
            images, names, tower, share=share, texts=texts, skip_unreadable=not strict, reporter=Terminal()
        )
    else:
        given, *images = run_and_images
        _check_run(given, images, {"--share": share, "--templates": texts.templates, "--texts": texts.texts})
        run = _loaded(given, images, also, tower)
    if precision is not None:
        threshold = threshold_of(run, precision, Terminal())
    say = Progress("predicted")

    def on_batch(summary: PredictionSummary, bad: list[UnreadableImage]) -> None:
        for error in bad:
            note(f"unreadable, left out: {error}")
        say(summary.predicted + summary.unreadable)

    summary = predict_to_file(
        run,
        images,
        out,
        threshold=threshold,
        top=top,
        strict=strict,
        batch_size=batch_size,
        workers=tower.workers,
        device=tower.device,
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


def _loaded(given: str, images: list[str], also: str | None, tower: TowerOptions) -> "Run":
    """The run, with its backbone where it is to see images, and with the classes that were named."""
    from promptmlr.data.classes import classes_of
    from promptmlr.data.formats.features import has_features
    from promptmlr.more_classes import with_classes
    from promptmlr.names import first_names
    from promptmlr.run import load_run

    run = load_run(given)
    if not any(has_features(Path(name)) for name in images):
        run.use_backbone(tower.backbone, tower.pretrained, tower.device)
    elif tower.backbone is not None or tower.pretrained is not None:
        raise UserError("features were computed before, so leave out --backbone and --pretrained")
    elif also is not None:
        raise UserError("--also needs texts of the new classes from the run's tower, and features come without one")
    if also is None:
        return run
    names = classes_of(also, "--also")
    more = with_classes(run, names, images, workers=tower.workers)
    note(
        f"added by name, with the calibration that the run's classes share, and unchecked: {first_names(names)}; a "
        "few labels of them, and `promptmlr train`, would settle it"
    )
    return more
