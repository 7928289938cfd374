"""From labelled images to a run folder: the main job, to be read from top to bottom."""

import time
from collections.abc import Sequence
from pathlib import Path

from promptmlr.backbone import Backbone
from promptmlr.features import RegionCache
from promptmlr.following import Follower, Followers
from promptmlr.pipeline.calibrating import calibration_of_run
from promptmlr.pipeline.epochs import train_epochs
from promptmlr.pipeline.images import JobRegions
from promptmlr.pipeline.job import TrainingJob, build
from promptmlr.pipeline.observed import needed_images, observed_labels
from promptmlr.pipeline.record import config_of, metrics_of
from promptmlr.pipeline.selection import selection_score
from promptmlr.pipeline.start import start_run
from promptmlr.prior.recalibration import recalibrate
from promptmlr.reporting import Reporter
from promptmlr.run import RunInProgress

__all__ = ["train_run"]


def train_run(
    job: TrainingJob,
    backbone: Backbone,
    out: str | Path,
    *,
    cache: RegionCache | None = None,
    resume: bool = False,
    skip_unreadable: bool = False,
    workers: int = 2,
    reporter: Reporter | None = None,
    followers: Sequence[Follower] = (),
) -> Path:
    """Train a recognizer and write its run folder, whole or as OUT.partial.

    Args:
        job: what to train.
        backbone: the frozen CLIP.
        out: the run folder; it must not exist.
        cache: where regions are stored; None holds them in memory or makes them fresh.
        resume: go on with OUT.partial, to the same weights as if it had not been interrupted.
        skip_unreadable: leave unreadable images out instead of refusing them.
        workers: threads that decode images.
        reporter: where to say how it goes.
        followers: who else hears of every epoch (`promptmlr.following`).

    Returns:
        The run folder.

    Raises:
        UserError: nothing to learn from, an existing folder, an unreadable image, settings that changed on resume.
    """
    reporter = reporter or Reporter()
    RunInProgress.check_free(out, resume)
    observed = observed_labels(job, reporter)
    recognizer = build(job, backbone)
    progress = RunInProgress(out, config_of(job, observed.labels, recognizer, backbone, cache), job.keep)
    begin = time.perf_counter()
    with progress.held(resume) as saved, Followers(followers) as told:
        told.on_start(progress.partial, progress.config, progress.reports)
        needed = needed_images(observed, job.seed) if cache is not None and cache.streams else None
        regions = JobRegions(
            job, backbone, needed, cache=cache, skip_unreadable=skip_unreadable, workers=workers, reporter=reporter
        )
        progress.settle_storage(regions.storage, regions.sampling)
        begun, reference = start_run(job, recognizer, backbone, observed, regions, saved, reporter)
        if reference is not None:
            progress.keep_prior(reference.record, begun.odds)
        if job.trained:
            score = selection_score(job, regions, observed.held_out, reporter)
            train_epochs(begun.run, regions.source, job.order_seed, score, progress, told, reporter)
            begun = recalibrate(begun)
        calibration = calibration_of_run(job, begun, backbone, observed, regions, reference, reporter)
        metrics = metrics_of(job, begun.run, time.perf_counter() - begin)
        told.on_end(metrics)
        return progress.finish(recognizer, metrics, calibration, None if reference is None else reference.recognizer)
