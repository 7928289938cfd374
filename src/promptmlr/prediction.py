"""Images or features in, rows out, streaming: CSV, JSONL or Parquet by suffix."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.backbone import PrecomputedFeatures
from promptmlr.calibration import margins
from promptmlr.data.formats.features import has_features, read_features
from promptmlr.data.images import ImageFile, ImageRef, UnreadableImage, find_images
from promptmlr.data.precomputed import precomputed_images
from promptmlr.errors import UserError
from promptmlr.files import replacing
from promptmlr.functional import presence_probability
from promptmlr.names import checked_path
from promptmlr.processes import gathered_items
from promptmlr.regions import Indices, RegionSource, encode_stream, in_order, index_batches
from promptmlr.reporting import Progress, Reporter
from promptmlr.run import Run
from promptmlr.threads import threads_for

__all__ = [
    "PredictionSummary",
    "check_wanted",
    "chosen_labels",
    "predict_margins",
    "predict_source",
    "predict_to_file",
    "predict_together",
]

COLUMNS = ("image", "labels")  # of a CSV, before those of classes
LABEL_SEPARATOR = ";"
ROW_GROUP = (
    8192  # rows of Parquet that are written together: the writer keeps a description of each group until the end
)

FEATURES_AT_ONCE = 1024  # rows of features

Model = Callable[[Tensor], Tensor]
Rows = list[tuple[str, list[str], NDArray[np.float32]]]
WriteRows = Callable[[Rows], None]
Stream = Iterator[tuple[list[ImageRef], list[UnreadableImage | None], Tensor | None]]


@dataclass
class PredictionSummary:
    """Counts of the images of one call."""

    predicted: int = 0
    unreadable: int = 0


def predict_source(
    recognizer: Model, source: RegionSource, batch_size: int = 128, progress: Progress | None = None
) -> tuple[Indices, NDArray[np.float32]]:
    """P(present) for all images of a region source: `predict_together` with one recognizer."""
    kept, (probabilities,) = predict_together([recognizer], source, batch_size, progress)
    return kept, probabilities


@torch.no_grad()
def predict_together(
    recognizers: Sequence[Model],
    source: RegionSource,
    batch_size: int = 128,
    progress: Progress | None = None,
) -> tuple[Indices, list[NDArray[np.float32]]]:
    """P(present) for all images of a region source, in one pass for all recognizers.

    Args:
        recognizers: regions (B, R, D) → logits (B, 2, C); unfolded ones encode their texts again for every batch.
        source: regions of N images.
        batch_size: images at once.
        progress: called with (done, N).

    Returns:
        The (N',) indices of the images that could be read, in order, and (N', C) probabilities per recognizer.
    """
    kept: list[Indices] = []
    rows: list[list[NDArray[np.float32]]] = [[] for _ in recognizers]
    for indices, regions in in_order(source, batch_size):
        kept.append(indices)
        for recognizer, own in zip(recognizers, rows, strict=True):
            own.append(presence_probability(recognizer(regions)).cpu().numpy())
        if progress is not None:
            progress(int(indices[-1]) + 1, len(source))
    kept = gathered_items(kept)
    if not kept:
        raise UnreadableImage("no image could be read")
    return np.concatenate(kept), [np.concatenate(gathered_items(own)) for own in rows]


@torch.no_grad()
def predict_margins(model: Model, source: RegionSource, batch_size: int = 128) -> tuple[Indices, NDArray[np.float64]]:
    """Margins of all images of a region source, for `fit_calibration`.

    Args:
        model: regions (B, R, D) → logits (B, 2, C).
        source: regions of N images.
        batch_size: images at once.

    Returns:
        The (N',) indices of the images that could be read, in order, and (N', C) float64 margins.
    """
    kept, found = [], []
    for indices, regions in in_order(source, batch_size):
        kept.append(indices)
        with threads_for(regions.numel()):
            found.append(margins(model(regions)).cpu().double().numpy())
    kept, found = gathered_items(kept), gathered_items(found)
    if not kept:
        raise UnreadableImage("no image could be read")
    return np.concatenate(kept), np.concatenate(found)


def predict_to_file(
    run: Run,
    arguments: Sequence[str],
    out: Path,
    *,
    threshold: float | None = None,
    top: int | None = None,
    strict: bool = False,
    batch_size: int | None = None,
    workers: int = 2,
    device: str = "cpu",
    reporter: Reporter | None = None,
) -> PredictionSummary:
    """Predict images and write one row each, in the order given; memory does not grow with their number.

    Args:
        run: a finished run.
        arguments: files, folders and globs of images; of a run that was trained on features, files of features.
        out: `.csv`, `.jsonl` or `.parquet`; written whole or not at all.
        threshold: a class is a label when its probability is above it; None are the run's own, one per class, or no
            bound with `top`.
        top: at most this many labels per image, the most probable first.
        strict: refuse unreadable images instead of leaving them out.
        batch_size: images through the tower at once; None chooses.
        workers: decoding threads.
        device: for features; images are seen where the run's backbone is.
        reporter: where to say how it goes, and what could not be read.

    Raises:
        UserError: an unknown suffix, no images, an unreadable one under `strict`, or features that do not fit the run.
    """
    check_wanted(out, threshold, top, run.class_names)
    cut = threshold if threshold is not None else (-1.0 if top else run.thresholds)
    if any(has_features(Path(argument)) for argument in arguments):
        stream = _feature_stream(run, arguments, device)
    else:
        images = (ImageFile(path) for path in find_images(arguments))
        stream = encode_stream(run.backbone, images, batch_size, workers)
    summary, reporter = PredictionSummary(), reporter or Reporter()
    with _WRITERS[out.suffix.lower()](out, run.class_names) as write, reporter.progress("predicted") as say:
        for refs, errors, regions in stream:
            bad = [error for error in errors if error is not None]
            if bad and strict:
                raise bad[0]
            names = [ref.name for ref, error in zip(refs, errors, strict=True) if error is None]
            if regions is not None:
                probabilities = run.probabilities(regions)
                labels = [chosen_labels(row, run.class_names, cut, top) for row in probabilities]
                write(list(zip(names, labels, probabilities, strict=True)))
            summary.predicted += len(names)
            summary.unreadable += len(bad)
            for error in bad:
                reporter.note(f"unreadable, left out: {error}")
            say(summary.predicted + summary.unreadable, None)
        if not summary.predicted:
            raise UnreadableImage(f"none of {summary.unreadable} images could be read, so nothing is written to {out}")
    return summary


def _feature_stream(run: Run, files: Sequence[str], device: str) -> Stream:
    """`encode_stream` for files of features; one file at a time is in memory."""
    for file in files:
        table = read_features(checked_path(file))
        run.adopt(PrecomputedFeatures(table.features.width, table.features.text, device))
        images = precomputed_images(table.features, table.image_ids)
        for indices in index_batches(len(images), FEATURES_AT_ONCE):
            regions = torch.from_numpy(table.features.regions[indices]).to(run.backbone.device)
            yield [images[index] for index in indices], [None] * len(indices), regions


def check_wanted(out: Path, threshold: float | None, top: int | None, class_names: Sequence[str] = ()) -> None:
    """Check the arguments of `predict_to_file` before any image is read.

    Raises:
        UserError: an unknown suffix, a number out of range, or a class named like a column of the CSV.
    """
    if top is not None and top < 1:
        raise UserError(f"--top {top}: it must be at least 1")
    if threshold is not None and not 0 <= threshold <= 1:
        raise UserError(f"--threshold {threshold}: it must lie in 0..1")
    if out.suffix.lower() not in _WRITERS:
        raise UserError(f"cannot write {out}: the suffix must be one of {', '.join(_WRITERS)}")
    if out.suffix.lower() == ".csv" and (same := [name for name in class_names if name in COLUMNS]):
        raise UserError(f"a CSV has a column {same[0]!r} already, and a class is called so; write {out.stem}.jsonl")


def chosen_labels(
    probabilities: NDArray[np.float32],
    class_names: tuple[str, ...],
    threshold: float | NDArray[np.float64],
    top: int | None,
) -> list[str]:
    """Names of the classes whose probability, (C,), is above the threshold, one for all or one each.

    The most probable come first, and at most `top` of them.
    """
    order = np.argsort(-probabilities, kind="stable")[:top]
    above = probabilities > threshold
    return [class_names[index] for index in order if above[index]]


@contextmanager
def _csv_writer(out: Path, class_names: tuple[str, ...]) -> Iterator[WriteRows]:
    with replacing(out, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *class_names])

        def write(rows: Rows) -> None:
            for name, labels, probabilities in rows:
                writer.writerow([name, LABEL_SEPARATOR.join(labels), *(f"{value:.6f}" for value in probabilities)])

        yield write


@contextmanager
def _jsonl_writer(out: Path, class_names: tuple[str, ...]) -> Iterator[WriteRows]:
    with replacing(out, "w", encoding="utf-8", newline="") as file:

        def write(rows: Rows) -> None:
            for name, labels, probabilities in rows:
                values = {key: round(float(value), 6) for key, value in zip(class_names, probabilities, strict=True)}
                row: dict[str, Any] = {"image": name, "labels": labels, "probabilities": values}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

        yield write


@contextmanager
def _parquet_writer(out: Path, class_names: tuple[str, ...]) -> Iterator[WriteRows]:
    fields = [
        ("image", pa.string()),
        ("labels", pa.list_(pa.string())),
        *((name, pa.float32()) for name in class_names),
    ]
    schema = pa.schema(fields)
    with replacing(out) as file, pq.ParquetWriter(file, schema) as writer:
        waiting: Rows = []

        def write(rows: Rows) -> None:
            waiting.extend(rows)
            if len(waiting) >= ROW_GROUP:
                flush()

        def flush() -> None:
            names, labels, probabilities = zip(*waiting, strict=True)
            columns = np.stack(probabilities).T
            writer.write_table(pa.table([pa.array(names), pa.array(labels), *columns], schema=schema))
            waiting.clear()

        yield write
        if waiting:
            flush()


_WRITERS: dict[str, Callable[[Path, tuple[str, ...]], AbstractContextManager[WriteRows]]] = {
    ".csv": _csv_writer,
    ".jsonl": _jsonl_writer,
    ".parquet": _parquet_writer,
}
