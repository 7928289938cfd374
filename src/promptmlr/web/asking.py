"""What `promptmlr serve --label` asks about: data, where their answers are kept, and who ranks what is unknown."""

import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from promptmlr.data import ImageFile, detect_format, find_images, load_data
from promptmlr.data.applying import applying_command
from promptmlr.data.classes import classes_of
from promptmlr.data.images import ImageRef
from promptmlr.errors import UserError
from promptmlr.features import RegionCache
from promptmlr.files import write_text
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN
from promptmlr.names import shown
from promptmlr.opening import open_cache, open_tower
from promptmlr.options import CacheOptions, DataOptions, TowerOptions
from promptmlr.reporting import ProgressAlone, Reporter, counted
from promptmlr.run import Run
from promptmlr.web.in_journal import InJournal
from promptmlr.web.in_table import InTable
from promptmlr.web.journal import Journal
from promptmlr.web.keeping import Keeper
from promptmlr.web.label_file import LabelFile
from promptmlr.web.labelling import LabelQueue
from promptmlr.web.learning import Learner, learning_by, run_on
from promptmlr.web.proposals import listed_proposals
from promptmlr.web.suggestions import read_suggestions

__all__ = ["Asked", "blank_table", "label_queue", "open_labelling"]

TABLE = "labels.csv"
IN_PLACE = (".csv", ".tsv")  # tables that are text


@dataclass(frozen=True)
class Asked:
    """What is to be labelled, as a person says it.

    Attributes:
        data: a file or folder in any format, or with `classes` a folder of images.
        classes: those to ask about, between commas or in a file with one a line: of a table, or of a folder of images
            that have no labels yet.
        suggestions: what `promptmlr suggest` wrote; None: all that is unknown is asked.
        journal: where answers are kept first; None: beside the data.
        random_share: of cells that are drawn at random.
        reading: how the data are read.

    Raises:
        UserError: the share is none.
    """

    data: str
    classes: str | None = None
    suggestions: Path | None = None
    journal: Path | None = None
    random_share: float = 0.1
    reading: DataOptions = DataOptions()

    def __post_init__(self) -> None:
        if not 0 <= self.random_share <= 1:
            raise UserError(f"--random-share {self.random_share}: it is a share, from 0 to 1")


@contextmanager
def open_labelling(
    asked: Asked, run: Run | None, tower: TowerOptions, regions: CacheOptions, reporter: Reporter
) -> Iterator[tuple[LabelQueue, Learner | None, Run]]:
    """The queue, who ranks it (nobody where suggestions are given), and the run whose proposals it starts with.

    Args:
        asked: what is to be labelled.
        run: a finished run; None makes one of what is known already.
        tower: of a run that is made.
        regions: where regions are stored; in a folder that is gone at the end, where they are not to be.
        reporter: where to say how it goes.

    Raises:
        UserError: as `label_queue`, or no image can be read.
    """
    with tempfile.TemporaryDirectory(prefix="promptmlr-") as folder:
        queue = label_queue(asked, run, reporter)
        cache = open_cache(regions)
        if cache is None or cache.folder is None:
            cache = RegionCache(Path(folder))
        if run is None:
            backbone = open_tower("images", tower, reporter)
            known = replace(queue.labelled, labels=queue.known()[0])
            run = run_on(known, backbone, cache, workers=tower.workers, reporter=ProgressAlone(reporter))
            count = int((known.labels != UNKNOWN).sum())
            learned = f"of a run that has learned from the {counted(count, 'label')} that are known"
            reporter.note(f"the first proposals are {learned if count else 'CLIP’s own, as no label is known yet'}")
        learner = None
        if asked.suggestions is None:
            learner = Learner(queue, learning_by(run, queue.labelled, cache, tower.workers, reporter), reporter)
        else:
            listed = read_suggestions(asked.suggestions, queue.labelled, reporter)
            queue.propose(listed_proposals(queue.labelled.labels.shape, listed))
        yield queue, learner, run


def label_queue(asked: Asked, run: Run | None, reporter: Reporter) -> LabelQueue:
    """The labelling queue of some data, without a ranking yet.

    Raises:
        UserError: the data cannot be read, nothing in them is unknown, or the run knows none of their classes.
    """
    data, reading = asked.data, asked.reading
    if asked.classes is not None and Path(data).is_dir():
        data = str(blank_table(Path(data), asked.classes))
    elif asked.classes is not None:
        reading = replace(reading, classes=asked.classes)
    kind = reading.format or detect_format(data)
    like = {} if run is None or run.reading.get("format") != kind else run.reading
    said = replace(reading.or_else(like), trained=() if run is None else run.class_names)
    reading = replace(said.or_else({"coco_images": "all"}), format=kind, skip_unreadable=True)
    labelled = load_data(data, "train", reading)
    if labelled.features is not None:
        raise UserError(f"{data} holds features, and nobody can look at those; name the images")
    if run is not None and not set(labelled.class_names) & set(run.class_names):
        raise UserError(f"{data} has none of the run's classes, such as {run.class_names[0]!r}")
    _check_images(data, labelled.images, reporter)
    keeper = _keeper(data, reading, said, asked.journal, reporter)
    share = asked.random_share if asked.suggestions is None else 0.0  # cells that somebody chose stand for no others
    queue = LabelQueue(labelled, keeper, random_share=share, reporter=reporter)
    if keeper.waiting:  # the last time ended before it could write them, and there may be no next answer
        count, left = keeper.write_again()
        reporter.note(f"{counted(count - left, 'answer')} of the last time written to {data}")
    if not (queue.known()[0] == UNKNOWN).any():
        raise UserError(f"{data}: no label is unknown, so there is nothing to ask")
    return queue


def blank_table(folder: Path, classes: str) -> Path:
    """The table of a folder of images and some classes, all cells blank; the one that is there already goes on.

    Raises:
        UserError: there is no image in it; its table has other classes.
        EnvironmentFault: the table cannot be written.
    """
    names, path = classes_of(classes), folder / TABLE
    if path.exists():
        found = LabelFile(path).read().columns
        if set(found) != set(names):
            raise UserError(f"{path} has other classes: {', '.join(found)}; name it with --label, without --classes")
        return path
    files = [shown(file.relative_to(folder).as_posix()) for file in find_images([folder])]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["image", *names])
    writer.writerows([file, *[""] * len(names)] for file in files)
    write_text(path, text.getvalue())
    return path


def _keeper(data: str, reading: DataOptions, said: DataOptions, journal: Path | None, reporter: Reporter) -> Keeper:
    """The cells of a CSV, or a journal for `promptmlr convert`, which reads the data as `said`."""
    path = Path(data)
    beside = Journal(journal or path.resolve().with_name(f"{path.resolve().name}.answers.jsonl"))
    if reading.format != "csv" or path.suffix.lower() not in IN_PLACE:
        command = applying_command(data, beside.path, said)
        reporter.note(f"answers are kept in {beside.path}, and {data} stays as it is; when you are done: {command}")
        return InJournal(beside, command)
    file = LabelFile(path, reading)
    cells = file.read()
    for answer in (PRESENT, ABSENT):
        cells.written(answer)  # refused now, and not at the first answer
    return InTable(file, beside, reporter)


def _check_images(data: str, images: Sequence[ImageRef], reporter: Reporter) -> None:
    """Refuse to ask about images none of which is there; say how many are not."""
    missing = [image for image in images if isinstance(image, ImageFile) and not image.exists()]
    if missing and len(missing) == len(images):
        raise UserError(
            f"{data}: none of the {len(images):,} images to ask about is there, such as {missing[0].name}; name their "
            "folder with --images"
        )
    if missing:
        reporter.note(f"{len(missing):,} of {len(images):,} images to ask about are missing, such as {missing[0].name}")
