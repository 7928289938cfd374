"""A run that is used at once: trained like any other, and nothing of it stays on the disk."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from promptmlr.backbone import Backbone
from promptmlr.features import RegionCache
from promptmlr.following import Follower
from promptmlr.pipeline.job import TrainingJob
from promptmlr.pipeline.running import train_run
from promptmlr.reporting import Reporter
from promptmlr.run import Run, load_run

__all__ = ["passing_run"]


def passing_run(
    job: TrainingJob,
    backbone: Backbone,
    *,
    cache: RegionCache | None = None,
    skip_unreadable: bool = False,
    workers: int = 2,
    reporter: Reporter | None = None,
    followers: Sequence[Follower] = (),
) -> Run:
    """The run of a job, with the backbone that it was trained on; arguments and errors as of `train_run`."""
    with tempfile.TemporaryDirectory(prefix="promptmlr-") as folder:
        path = train_run(
            job,
            backbone,
            Path(folder) / "run",
            cache=cache,
            skip_unreadable=skip_unreadable,
            workers=workers,
            reporter=reporter,
            followers=followers,
        )
        run = load_run(path)
    run.adopt(backbone)
    return run
