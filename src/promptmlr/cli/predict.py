"""`promptmlr predict`: labels for new images."""

from pathlib import Path
from typing import Annotated

import typer

from promptmlr.cli.options import BackboneName, BatchSize, Device, Pretrained, RunFolder, Workers
from promptmlr.cli.progress import note

__all__ = ["predict"]


def predict(
    run: RunFolder,
    images: Annotated[list[str], typer.Argument(metavar="IMAGES...", help="Files, folders, glob patterns.")],
    out: Annotated[Path, typer.Option(help="Where the rows go: .csv, .jsonl or .parquet.")] = Path("predictions.csv"),
    threshold: Annotated[
        float | None,
        typer.Option(help="Labels are the classes above it. (default: the run's, 0.5)", show_default=False),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            help="Label the K most probable classes, however improbable; with --threshold, those of them above it.",
            metavar="K",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse unreadable images.")] = False,
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
    device: Device = "cpu",
    batch_size: BatchSize = None,
    workers: Workers = 2,
) -> None:
    """Write the probability of every class, and the labels, for files, folders and globs of images."""
    from promptmlr.cli.progress import Progress
    from promptmlr.data.images import UnreadableImage
    from promptmlr.prediction import PredictionSummary, predict_to_file
    from promptmlr.run import load_run

    loaded = load_run(run)
    loaded.use_backbone(backbone, pretrained, device)
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
        on_batch=on_batch,
    )
    note(f"{summary.predicted} images predicted, {summary.unreadable} unreadable; {out}")
