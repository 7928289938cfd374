"""The whole job on the drawn world: every method on the same few labels, scored, compared and shown."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch

from promptmlr.backbone import Backbone, load_backbone
from promptmlr.data import DataOptions, LabelledImages, load_data
from promptmlr.data.options import Purpose
from promptmlr.demo.comparison import Row, best_of, findings
from promptmlr.demo.figures import Example, maps_figure
from promptmlr.demo.page import DemoResult, demo_page
from promptmlr.demo.picture import TableRows, job_figure, rows_to_show
from promptmlr.errors import UserError
from promptmlr.evaluation import evaluate
from promptmlr.files import check_writable, write_bytes, write_text
from promptmlr.labels import PRESENT, hide, keep_mask
from promptmlr.methods import METHOD_TABLE, takes_start
from promptmlr.pipeline import TrainingJob, build, check_labels
from promptmlr.prediction import predict_source
from promptmlr.prior.fitting import begin_run
from promptmlr.prior.recalibration import recalibrate
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, InMemoryRegions, extract
from promptmlr.report.figures import figure_jpeg
from promptmlr.reporting import Reporter
from promptmlr.run import versions
from promptmlr.training import EpochReport, fit_runs

__all__ = ["VARIANTS", "run_demo"]

OBSERVED = 0.1  # of the training labels
EXAMPLES = 8
EXAMPLES_WITH_MAPS = 4
EXAMPLES_IN_PICTURE = 4

VARIANTS: tuple[tuple[str, str | None], ...] = (
    ("zeroshot", None),
    ("anchored", None),
    ("baseline", None),
    ("dualcoop", None),
    ("positivecoop", "agnostic"),
    ("positivecoop", "text"),
    ("negativecoop", "agnostic"),
    ("negativecoop", "text"),
    ("dualembedding", "agnostic"),
    ("dualembedding", "text"),
)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Without torch's own threads: at this size they give little, and on a busy machine they stall each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_single_threaded()
def run_demo(
    out: str | Path,
    *,
    seed: int = 0,
    train_scenes: int = 1600,
    test_scenes: int = 1000,
    epochs: int | None = None,
    reporter: Reporter | None = None,
) -> DemoResult:
    """Draw scenes, hide nine labels of ten, train every method, and write `index.html` and `demo.jpg`.

    Args:
        out: the folder of the report, made when missing; nothing else in it is touched.
        seed: of the mask and of the starts; the same one gives the same scores on the same machine.
        train_scenes: how many scenes to learn from.
        test_scenes: how many scenes to score on.
        epochs: None for the default recipe's.
        reporter: where to say how it goes.

    Returns:
        What came out; `promptmlr.demo.summary` puts it in words.

    Raises:
        UserError: `out` is no folder.
        EnvironmentFault: the files cannot be written.
    """
    begin = time.perf_counter()
    out, reporter = _folder(out), reporter or Reporter()
    backbone = load_backbone("scenes")
    options = DataOptions(scenes_train=train_scenes, scenes_test=test_scenes)
    train, test = (_encoded(backbone, purpose, options, reporter) for purpose in ("train", "test"))
    keep = keep_mask(train.data.labels.shape, OBSERVED, seed)
    seen = hide(train.data.labels, keep)
    check_labels(seen, train.data.class_names, "anchored", load_recipe("default", "anchored"), reporter)
    recipes = [load_recipe("default", method, start=start, epochs=epochs) for method, start in VARIANTS]
    jobs = [
        TrainingJob(method, recipe, train.data, keep, OBSERVED, seed)
        for (method, _), recipe in zip(VARIANTS, recipes, strict=True)
    ]
    rows = _rows(jobs, backbone, train.regions, test, reporter)
    reporter.note("comparing the rows on the same test scenes")
    found = findings(rows, test.data.labels)

    shown = best_of([row for row in rows if row.learned])
    examples = _examples(shown, test)
    maps = figure_jpeg(maps_figure(examples[:EXAMPLES_WITH_MAPS], test.data.class_names), 1200)
    result = DemoResult(
        seed=seed,
        epochs=recipes[-1].epochs,
        class_names=test.data.class_names,
        train_labels=seen,
        test_labels=test.data.labels,
        rows=rows,
        findings=found,
        shown=shown,
        examples=examples,
        maps=maps,
        versions=versions(),
        page=out / "index.html",
        seconds=time.perf_counter() - begin,
    )
    write_text(result.page, demo_page(result))
    chosen = rows_to_show(seen, EXAMPLES_IN_PICTURE)
    table = TableRows([np.asarray(train.data.images[index].open()) for index in chosen], seen[chosen])
    picture = job_figure(table, examples[:EXAMPLES_IN_PICTURE], test.data.class_names)
    write_bytes(out / "demo.jpg", figure_jpeg(picture, 1660))
    return result


@dataclass(frozen=True, eq=False)
class _Encoded:
    """Scenes, and their regions in memory."""

    data: LabelledImages
    regions: InMemoryRegions


def _folder(out: str | Path) -> Path:
    folder = Path(out)
    if folder.is_file():
        raise UserError(f"{folder} is a file; name a folder for the report")
    check_writable(folder / "index.html")
    return folder


def _encoded(backbone: Backbone, purpose: Purpose, options: DataOptions, reporter: Reporter) -> _Encoded:
    data = load_data("scenes", purpose=purpose, options=options)
    with reporter.progress(f"encoding {data.source}") as say:
        return _Encoded(data, extract(FreshRegions(backbone, data.images), progress=say)[1])


def _rows(
    jobs: Sequence[TrainingJob], backbone: Backbone, regions: InMemoryRegions, test: _Encoded, reporter: Reporter
) -> list[Row]:
    """Train and score every job, two at a time, each on one core."""
    total = sum(job.recipe.epochs for job in jobs if METHOD_TABLE[job.method].trained)
    finished, stopped = count(1), threading.Event()
    pool = ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,))
    with reporter.progress("training the recognizers, epochs of all together") as say:

        def on_epoch(*_: object) -> None:
            if stopped.is_set():
                raise CancelledError
            say(next(finished), total)

        try:
            waiting = [pool.submit(_row, job, backbone, regions, test, on_epoch) for job in jobs]
            return [row.result() for row in waiting]
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def _row(
    job: TrainingJob,
    backbone: Backbone,
    regions: InMemoryRegions,
    test: _Encoded,
    on_epoch: Callable[[Sequence[EpochReport]], None],
) -> Row:
    """Train one recognizer and score it."""
    method = METHOD_TABLE[job.method]
    begin = time.perf_counter()
    recognizer = build(job, backbone)
    if method.trained:
        begun = begin_run(recognizer, regions, hide(job.labelled.labels, job.keep), job.recipe, seed=job.seed)
        fit_runs([begun.run], regions, on_epoch=on_epoch)
        recalibrate(begun)
    seconds = time.perf_counter() - begin
    folded = recognizer.fold()
    _, probabilities = predict_source(folded, test.regions)
    return Row(
        method=job.method,
        start=job.recipe.start if takes_start(method) else None,
        learned=recognizer.learned_parameters() if method.trained else 0,
        seconds=seconds,
        probabilities=probabilities,
        evaluation=evaluate(probabilities, test.data.labels, test.data.class_names),
        recognizer=folded,
    )


@torch.no_grad()
def _examples(row: Row, test: _Encoded) -> list[Example]:
    """The first test scenes with two classes or more, as a row sees them."""
    labels, images = test.data.labels, test.data.images
    chosen = np.flatnonzero((labels == PRESENT).sum(axis=1) >= 2)[:EXAMPLES]
    presence, absence = (side.numpy() for side in row.recognizer.maps(test.regions.regions[torch.from_numpy(chosen)]))
    return [
        Example(np.asarray(images[index].open()), labels[index], row.probabilities[index], *maps)
        for index, *maps in zip(chosen, presence, absence, strict=True)
    ]
