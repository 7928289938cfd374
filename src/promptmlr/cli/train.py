"""`promptmlr train`: one run, from images and partial labels to a run folder."""

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from promptmlr.cli.lists import words
from promptmlr.cli.options import RUNNING, TRAINING, Cache, Data, Mask, NewTower, Prompts, Reading, Share
from promptmlr.cli.progress import Terminal, note
from promptmlr.cli.several import is_first
from promptmlr.options import CacheOptions, DataOptions, MaskOptions, NewTowerOptions, PromptOptions

__all__ = ["train"]


def train(
    data: Data,
    /,
    *,
    out: Path,
    method: str = "anchored",
    resume: bool = False,
    tower: NewTower = NewTowerOptions(),
    recipe: Prompts = PromptOptions(),
    select: Annotated[Literal["last", "val", "test"], TRAINING] = "last",
    calibrate: Annotated[bool, TRAINING, Parameter(negative="--no-calibrate")] = True,
    share: Annotated[Share, TRAINING] = None,
    seen: Mask = MaskOptions(),
    reading: Reading = DataOptions(),
    regions: Cache = CacheOptions(),
    log: Annotated[str | None, RUNNING] = None,
    profile: Annotated[bool, RUNNING] = False,
) -> None:
    """Train a recognizer on partial labels and write a run folder.

    Args:
        out: The run folder to create.
        method: A name from `promptmlr methods`; or auto: the method with the best mAP in cross-validation, or anchored
            if it is within noise of the best.
        select: Which epoch to keep. val: the best on a tenth of the observed labels, held out. test: the best on test
            data (only for comparison with papers that do this; every such score is marked).
        calibrate: Fit probabilities and a threshold per class on labels that training did not see: all known labels in
            turn, or, if there are many, a tenth that is held out. anchored is trained to give probabilities and needs
            neither.
        resume: Continue the unfinished run in OUT.partial.
        log: Also log the run for other programs, separated by commas: tensorboard (events in OUT/tensorboard).
        profile: Print at the end where the time went.
    """
    from promptmlr import planning, processes
    from promptmlr.following import follower
    from promptmlr.reporting import Reporter

    followers = [] if log is None else [follower(name) for name in words(log)]
    plan = planning.Plan(data, method, select, calibrate, share, reading, tower, recipe, seen, regions)
    reporter: Reporter = Terminal()
    begin = time.perf_counter()
    try:
        with processes.together(), _profile(profile):
            if not is_first():
                followers, reporter = [], Reporter()
            trained = planning.train(plan, out, resume=resume, followers=followers, reporter=reporter)
    except KeyboardInterrupt:
        if is_first() and Path(f"{out}.partial").exists():
            note(f"{out}.partial holds the unfinished run; repeat the command with --resume to go on")
        raise
    if is_first():
        note(f"{trained.path} in {time.perf_counter() - begin:.1f} s; next: promptmlr {shlex.join(trained.following)}")


@contextmanager
def _profile(asked: bool) -> Iterator[None]:
    """Say where the block's time went, however it ended."""
    from promptmlr.profiling import profiled

    if not asked or not is_first():
        yield
        return
    with profiled() as profile:
        try:
            yield
        finally:
            note(profile.table())
