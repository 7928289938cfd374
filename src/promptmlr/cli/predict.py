"""`promptmlr predict`: labels for new images."""

from pathlib import Path
from typing import Annotated

import typer

from promptmlr.cli.options import BackboneName, BatchSize, Device, Pretrained, RunFolder, Workers
from promptmlr.cli.progress import note
from promptmlr.errors import UserError

__all__ = ["predict"]


def predict(
    run: RunFolder,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES...",
            help="Files, folders, glob patterns; for a run that was trained on features, .npz or .parquet files.",
        ),
    ],
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
    """Write the probability of every class, and the labels, for files, folders and globs of images, or for features."""
    from promptmlr.cli.progress import Progress
    from promptmlr.cli.thresholds import threshold_of
    from promptmlr.data.features import has_features
    from promptmlr.data.images import UnreadableImage
    from promptmlr.prediction import PredictionSummary, predict_to_file
    from promptmlr.run import load_run

    if out.exists() and not overwrite:
        raise UserError(f"{out} exists; name another file with --out, or replace it with --overwrite")
    loaded = load_run(run)
    if not any(has_features(Path(name)) for name in images):
        loaded.use_backbone(backbone, pretrained, device)
    elif backbone is not None or pretrained is not None:
        raise UserError("features were computed before, so leave out --backbone and --pretrained")
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
