"""`promptmlr predict`: labels for new images."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from promptmlr.cli.options import Archive, Batch, Overwrite, Precision, Share, Texts, Tower
from promptmlr.cli.outcome import check_free
from promptmlr.cli.progress import Terminal, note
from promptmlr.options import ArchiveOptions, TextOptions, TowerOptions

__all__ = ["predict"]


def predict(
    *run_and_images: Annotated[str, Parameter(name="[RUN] IMAGES", required=True)],
    out: str | None = None,
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
    archive: Archive = ArchiveOptions(),
) -> None:
    """Write the labels and the probability of every class, for images or for features of images.

    The classes are those of a trained run. With --classes they can be any names, which CLIP scores without training.

    Args:
        run_and_images: A run folder, or hf://owner/name or hf://owner/name@revision; then image files, folders and glob
            patterns, or .npz or .parquet files for a run that was trained on features. No run with --classes. Or an
            archive: tars, Parquet files with images, URLs such as 's3://bucket/train-{000..999}.tar'.
        out: File for the rows: .csv, .jsonl or .parquet; of an archive a folder with a file per shard, or its URL.
            (default: predictions.csv, predictions)
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
    from promptmlr.archives import is_archive
    from promptmlr.predicting import PredictionRequest, predict_archive
    from promptmlr.predicting import predict as predicted

    run, images = (None, run_and_images) if classes is not None else (run_and_images[0], run_and_images[1:])
    asked = PredictionRequest(
        run, images, classes, also, threshold, precision, top, share, strict, batch_size, tower, texts
    )
    if archive.asked or any(map(is_archive, images)):
        predict_archive(asked, out or "predictions", archive, overwrite, Terminal())
        return
    file = Path(out or "predictions.csv")
    check_free(file, overwrite)
    summary = predicted(asked, file, Terminal())
    note(f"predicted: {summary.predicted}, unreadable: {summary.unreadable}; {file}")
