"""What `config.json` and `metrics.json` say of a job."""

from typing import Any

from promptmlr.backbone import Backbone
from promptmlr.features import RegionCache
from promptmlr.labels import Labels
from promptmlr.pipeline.job import TrainingJob
from promptmlr.recognizer import Recognizer
from promptmlr.run import BackboneRecord, DataRecord, RunConfig, versions
from promptmlr.training import TrainingRun

__all__ = ["config_of", "metrics_of"]


def config_of(
    job: TrainingJob, labels: Labels, recognizer: Recognizer, backbone: Backbone, cache: RegionCache | None
) -> RunConfig:
    """Of a job, before anything is trained.

    Args:
        job: what is trained.
        labels: (N, C) int8, all that its mask leaves.
        recognizer: where it begins.
        backbone: the frozen CLIP.
        cache: where regions are to be stored, which a run of features does not do.
    """
    return RunConfig(
        method=job.method,
        class_names=recognizer.class_names,
        weighting=recognizer.weighting,
        recipe=job.recipe,
        backbone=BackboneRecord(**backbone.identity()),
        data=DataRecord.of(job.labelled, labels, job.keep, job.observed, job.protocol),
        seed=job.seed,
        order_seed=job.order_seed,
        storage=None if cache is None or job.labelled.features is not None else cache.storage,
        select=job.select,
        calibrate=job.calibrate,
        share=job.share,
        versions=versions(),
    )


def metrics_of(job: TrainingJob, run: TrainingRun, seconds: float) -> dict[str, Any]:
    """Of a trained run, and how long all of it took."""
    state = run.state
    return {
        "learned_parameters": run.recognizer.learned_parameters() if job.trained else 0,
        "epoch": state.epoch if job.select == "last" else state.best_epoch,
        "select": job.select,
        "selection_map": state.best_score if state.best_epoch else None,
        "seconds": round(seconds, 3),
    }
