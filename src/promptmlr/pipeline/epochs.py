"""Training, epoch by epoch, with what is finished kept in the unfinished run folder."""

from collections.abc import Sequence

from promptmlr.following import Follower
from promptmlr.pipeline.selection import Score
from promptmlr.profiling import part
from promptmlr.regions import RegionSource
from promptmlr.reporting import Reporter
from promptmlr.run import RunInProgress
from promptmlr.run.state import Due
from promptmlr.training import EpochReport, TrainingRun, fit_runs

__all__ = ["train_epochs"]


def train_epochs(
    run: TrainingRun,
    source: RegionSource,
    order_seed: int,
    score: Score | None,
    progress: RunInProgress,
    told: Follower,
    reporter: Reporter,
) -> None:
    """Train a run from where it stands.

    Args:
        run: changed in place.
        source: regions of its images.
        order_seed: of the order of images.
        score: by which an epoch is chosen; None keeps the last.
        progress: where epochs are kept.
        told: hears of every epoch once it is kept.
        reporter: where to say how it goes.
    """
    due = Due()
    before = run.state.epoch  # of an interrupted run: what is left takes as long as what is done since
    with reporter.progress(f"epochs after {before}" if before else "epochs") as say:

        def on_epoch(reports: Sequence[EpochReport]) -> None:
            [report] = reports
            progress.add(report)
            if due.after(report.epoch, report.epochs):
                with part("saving the epoch"):
                    progress.save(run.state)
            told.on_epoch(report)
            say(report.epoch - before, report.epochs - before)

        scores = None if score is None else lambda folded: [score(folded[0])]
        fit_runs([run], source, order_seed=order_seed, score=scores, on_epoch=on_epoch)
