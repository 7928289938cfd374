"""What `promptmlr serve --label` asks about: the queue of a file, and where its suggestions come from."""

from collections.abc import Sequence
from pathlib import Path

from promptmlr.data import DataOptions, ImageFile
from promptmlr.data.images import ImageRef
from promptmlr.errors import UserError
from promptmlr.features import RegionCache
from promptmlr.labels import ABSENT, PRESENT
from promptmlr.reporting import Reporter
from promptmlr.run import Run
from promptmlr.web.journal import Journal
from promptmlr.web.label_file import LabelFile
from promptmlr.web.labelling import LabelQueue
from promptmlr.web.suggestions import Cell, Ranking, ranked_by, read_suggestions, training_rows

__all__ = ["label_queue", "ranking_of"]

_DEFAULTS = DataOptions()


def label_queue(
    label: Path, journal: Path | None, images: Path | None, reporter: Reporter, options: DataOptions = _DEFAULTS
) -> LabelQueue:
    """The labelling queue of a CSV, without suggestions yet; `options` say how it is read and written."""
    file = LabelFile(label, options)
    cells = file.read()
    for answer in (PRESENT, ABSENT):
        cells.written(answer)  # refused now, and not at the first answer
    beside = journal or file.path.with_name(f"{file.name}.answers.jsonl")
    queue = LabelQueue(file, Journal(beside), images, reporter)
    waiting = queue.standing().waiting
    if waiting:
        reporter.note(f"{beside} holds {waiting} answers that {label} has not got; they are written with the next one")
    return queue


def ranking_of(
    run: Run,
    label: Path,
    queue: Path | None,
    images: Path | None,
    cache: RegionCache | None,
    workers: int,
    reporter: Reporter,
    options: DataOptions = _DEFAULTS,
) -> Ranking:
    """What gives the suggestions, from a file or by the run; mistakes in either are found now."""
    if queue is not None:
        suggestions = read_suggestions(queue)
        _check_images(label, [ImageFile((images or label.parent) / one.image_id) for one in suggestions], reporter)

        def from_file() -> Sequence[Cell]:
            return suggestions

        return from_file
    labelled = training_rows(label, images, options)
    if not set(labelled.class_names) & set(run.class_names):
        raise UserError(f"{label} has none of the run's classes, such as {run.class_names[0]!r}")
    _check_images(label, labelled.images, reporter)

    def by_run() -> Sequence[Cell]:
        return ranked_by(run, labelled, cache, workers, reporter)

    return by_run


def _check_images(label: Path, images: Sequence[ImageRef], reporter: Reporter) -> None:
    """Refuse to ask about images none of which is there; say how many are not."""
    missing = [image for image in images if isinstance(image, ImageFile) and not image.exists()]
    if missing and len(missing) == len(images):
        raise UserError(
            f"{label}: none of the {len(images):,} images to ask about is there, such as {missing[0].name}; name their "
            "folder with --images"
        )
    if missing:
        reporter.note(f"{len(missing):,} of {len(images):,} images to ask about are missing, such as {missing[0].name}")
