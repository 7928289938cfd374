"""`promptmlr predict`: labels for new images."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from promptmlr.cli.options import Batch, Overwrite, Precision, Share, Texts, Tower
from promptmlr.cli.outcome import check_free
from promptmlr.cli.progress import Terminal, note
from promptmlr.options import TextOptions, TowerOptions

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
    """Write the probability of every class, and the labels, for files, folders and globs of images, or for features.

    The classes are those of a trained run; or with --classes any, as the untouched CLIP sees them.

    Args:
        run_and_images: A run folder, or hf://owner/name or hf://owner/name@revision; then files, folders, glob
            patterns, or .npz or .parquet files for a run that was trained on features. With --classes no run.
        out: Where the rows go: .csv, .jsonl or .parquet.
        classes: Tag with these classes, without a run or any label: names between commas, or a file with one a line.
        also: Add classes to the run by name (as --classes): CLIP scores them, with the calibration that the run's own
            classes share.
        threshold: Labels are the classes above it. (default: the run's, one per class, or 0.5 if it is not calibrated;
            with --classes one per class, for the greatest F1 that its probabilities promise)
        top: Label this many classes, the most probable, however improbable; with --threshold, those of them above it.
        strict: Refuse unreadable images.
    """
    from promptmlr.predicting import PredictionRequest
    from promptmlr.predicting import predict as predicted

    check_free(out, overwrite)
    run, images = (None, run_and_images) if classes is not None else (run_and_images[0], run_and_images[1:])
    asked = PredictionRequest(
        run, images, classes, also, threshold, precision, top, share, strict, batch_size, tower, texts
    )
    summary = predicted(asked, out, Terminal())
    note(f"predicted: {summary.predicted}, unreadable: {summary.unreadable}; {out}")
