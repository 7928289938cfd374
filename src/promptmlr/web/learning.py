"""New rankings in the background: after every page, what is known is learned, and what is unknown is ranked again.

Letters: N images, C classes.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from promptmlr.backbone import Backbone
from promptmlr.data import LabelledImages
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.features import RegionCache, open_regions
from promptmlr.following import Follower
from promptmlr.labels import UNKNOWN, Labels
from promptmlr.pipeline import TrainingJob, passing_run
from promptmlr.prediction import predict_source
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.regions import FreshRegions
from promptmlr.reporting import Reporter
from promptmlr.run import Run
from promptmlr.training import EpochReport
from promptmlr.web.labelling import LabelQueue
from promptmlr.web.proposals import ranked_proposals

__all__ = ["METHOD", "Learner", "Learning", "learning_by", "probabilities_of", "run_on", "why_not"]

METHOD = "anchored"  # what a run is trained by where there is none yet
KINDNESS = 10  # of 20: pictures for the page come first

Learning = Callable[[Labels, Follower], NDArray[np.float32]]
"""(N, C) int8 labels as they are known → (N, C) P(present), NaN where nobody can say; the follower may stop it."""


class _Stopped(Exception):
    """The service ends."""


class Learner(Follower):
    """A thread that makes rankings, and rests as long as each took. A context: it ends with it.

    Args:
        queue: whose labels are learned, and which is told every ranking.
        learn: from labels to probabilities.
        reporter: told when that fails; the page goes on with the ranking that it has.
    """

    def __init__(self, queue: LabelQueue, learn: Learning, reporter: Reporter) -> None:
        self._queue = queue
        self._learn = learn
        self._reporter = reporter
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="learn", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._queue.changed.set()
        self._thread.join()

    def on_epoch(self, report: EpochReport) -> None:  # noqa: ARG002
        """Where training may be stopped."""
        if self._stopped.is_set():
            raise _Stopped

    def rank(self) -> None:
        """Make a ranking of what is known now.

        Raises:
            UserError: it cannot be learned.
        """
        labels, answered = self._queue.known()
        self._queue.propose(ranked_proposals(self._learn(labels, self), labels), answered)

    def _run(self) -> None:
        if sys.platform == "linux":  # where threads have priorities of their own
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), KINDNESS)
        while True:
            self._queue.changed.wait()
            self._queue.changed.clear()
            if self._stopped.is_set():
                return
            begin = time.monotonic()
            try:
                self.rank()
            except _Stopped:
                return
            except (UserError, EnvironmentFault) as error:
                self._reporter.note(f"no new ranking: {error}")
            self._stopped.wait(time.monotonic() - begin)


def why_not(run: Run, labels: Labels) -> str | None:
    """Why a run is not to be trained anew with the labels of a session; None where it can be."""
    recipe, seen, known = run.config.recipe, run.config.data.known_labels, int((labels != UNKNOWN).sum())
    if not recipe.has_prior:
        return f"{run.config.method} learns from few labels only under a prior, as anchored does"
    if recipe.augmentation != "none":
        return "its recipe shows images in new views, which takes too long"
    if seen > known:
        return f"it has learned from {seen:,} labels, and here are {known:,}"
    return None


def run_on(
    labelled: LabelledImages,
    backbone: Backbone,
    cache: RegionCache,
    like: Run | None = None,
    follower: Follower | None = None,
    workers: int = 2,
    reporter: Reporter | None = None,
) -> Run:
    """A run trained on what is known of some images; where that is nothing, CLIP's zero-shot. Its folder is gone again.

    Args:
        labelled: the images, with their labels.
        backbone: the frozen CLIP.
        cache: where regions are stored.
        like: the run whose method and recipe it has; None trains `METHOD`.
        follower: hears of every epoch.
        workers: threads that decode images.
        reporter: where to say how it goes.
    """
    method = METHOD if like is None else like.config.method
    recipe: Recipe = load_recipe("default", METHOD) if like is None else like.config.recipe
    same = like is not None and like.class_names == labelled.class_names
    keep = np.ones(labelled.labels.shape, dtype=np.bool_)
    share = like.config.share if like is not None and (same or not isinstance(like.config.share, tuple)) else None
    job = TrainingJob(method, recipe, labelled, keep, share=share)
    return passing_run(
        job,
        backbone,
        cache=cache,
        skip_unreadable=True,
        workers=workers,
        reporter=reporter,
        followers=[] if follower is None else [follower],
    )


def probabilities_of(
    run: Run,
    labelled: LabelledImages,
    cache: RegionCache,
    workers: int = 2,
    reporter: Reporter | None = None,
) -> NDArray[np.float32]:
    """(N, C) P(present) by a run; NaN for images that cannot be read and classes that it does not know.

    Raises:
        UserError: run and data have no class in common, or no image can be read.
    """
    reporter = reporter or Reporter()
    columns = [column for column, name in enumerate(labelled.class_names) if name in run.class_names]
    if not columns:
        raise UserError(f"the run knows none of the classes of {labelled.source}; train one on them first")
    own = [run.class_names.index(labelled.class_names[column]) for column in columns]
    fresh = FreshRegions(run.backbone, labelled.images, workers=workers, skip_unreadable=True)
    kept, source = open_regions(fresh, cache, reporter=reporter)
    with reporter.progress("predicting") as say:
        found, probabilities = predict_source(run.calibrated, source, progress=say)
    for error in fresh.unreadable.values():
        reporter.note(f"unreadable, left out: {error}")
    result = np.full(labelled.labels.shape, np.nan, dtype=np.float32)
    result[np.ix_(kept[found], np.array(columns))] = probabilities[:, own]
    return result


def learning_by(run: Run, labelled: LabelledImages, cache: RegionCache, workers: int, reporter: Reporter) -> Learning:
    """How a run ranks: first as it is, then trained anew with what is known, unless `why_not` forbids it."""
    first: NDArray[np.float32] | None = None

    def learn(labels: Labels, follower: Follower) -> NDArray[np.float32]:
        nonlocal first
        against = why_not(run, labels)
        if first is None:
            reporter.note("answers move the ranking" if against is None else f"answers leave the run alone: {against}")
            first = probabilities_of(run, labelled, cache, workers, reporter)
            return first
        if against is not None:
            return first
        now = replace(labelled, labels=labels)
        return probabilities_of(run_on(now, run.backbone, cache, run, follower, workers), now, cache, workers)

    return learn
