"""A run folder: what it holds (`config.py`, `folder.py`), its weights, and runs finished and unfinished."""

from promptmlr.run.config import (
    BackboneRecord,
    DataRecord,
    RunConfig,
    Selection,
    images_sha256,
    labels_sha256,
    versions,
)
from promptmlr.run.finished import Run, load_run
from promptmlr.run.folder import (
    FILES,
    check_evaluation,
    partial_of,
    read_config,
    read_evaluation,
    read_metrics,
    read_prior,
)
from promptmlr.run.unfinished import RunInProgress
from promptmlr.run.weights import read_tensors

__all__ = [
    "FILES",
    "BackboneRecord",
    "DataRecord",
    "Run",
    "RunConfig",
    "RunInProgress",
    "Selection",
    "check_evaluation",
    "images_sha256",
    "labels_sha256",
    "load_run",
    "partial_of",
    "read_config",
    "read_evaluation",
    "read_metrics",
    "read_prior",
    "read_tensors",
    "versions",
]
