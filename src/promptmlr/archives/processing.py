"""A job over all shards, and what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from promptmlr.archives.engines import ENGINES
from promptmlr.archives.job import Job, Outcome
from promptmlr.archives.sources import Shard
from promptmlr.errors import UserError
from promptmlr.options import ArchiveOptions
from promptmlr.reporting import Reporter, counted

__all__ = ["Summary", "process"]

SHOWN = 10  # images that are named at the end


@dataclass
class Summary:
    """Counts over all shards, those finished before included.

    Attributes:
        shards: that are finished.
        before: how many of them were so already.
        rows: of all of them.
        unreadable: how many rows have no image that can be read.
        first: some of those, with the reason.
        faults: of shards that cannot be processed, some of them.
        failed: how many there are.
    """

    shards: int = 0
    before: int = 0
    rows: int = 0
    unreadable: int = 0
    first: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    failed: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count a shard."""
        if outcome.record is None:
            self.failed += 1
            self.faults = [*self.faults, outcome.fault or ""][:SHOWN]
            return
        self.shards += 1
        self.before += outcome.before
        self.rows += outcome.record.rows
        self.unreadable += outcome.record.unreadable
        told = [f"{outcome.record.shard}, {key}: {error}" for key, error in outcome.record.first.items()]
        self.first = [*self.first, *told][:SHOWN]

    def line(self, out: str) -> str:
        """All of it in a line."""
        before = f", {self.before:,} of them before" if self.before else ""
        return (
            f"{counted(self.shards, 'shard')} finished{before}: {counted(self.rows, 'row')}, "
            f"unreadable: {self.unreadable:,}; {out}"
        )


def process(
    job: Job,
    shards: Iterable[Shard],
    options: ArchiveOptions | None = None,
    *,
    device: str = "cpu",
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Summary:
    """Process the shards that are not finished; each is a file of rows in the end, or there is none of it.

    Args:
        job: what is done with each.
        shards: all of them, or a part; taken one by one.
        options: the engine and its settings.
        device: of the image tower.
        overwrite: replace what another job wrote into the folder.
        reporter: where to say how it goes.

    Raises:
        UserError: a shard cannot be processed, in which case the others were; or whatever stops all of them.
        EnvironmentFault: whatever stops all of them.
    """
    options, reporter, summary = options or ArchiveOptions(), reporter or Reporter(), Summary()
    job.manifest.begin(overwrite)
    rows = 0
    with reporter.progress("rows") as say:

        def said(count: int) -> None:
            nonlocal rows
            rows += count
            say(rows, None)

        for outcome in ENGINES[options.engine](job, shards, options, device, said):
            summary.add(outcome)
            if outcome.fault is not None:
                reporter.note(f"left out: {outcome.fault}")
    for told in summary.first:
        reporter.note(f"unreadable: {told}")
    if summary.unreadable > len(summary.first):
        reporter.note(f"unreadable: {summary.unreadable - len(summary.first):,} more, each a row with an `error`")
    reporter.note(summary.line(job.manifest.out))
    if summary.failed:
        others = "others are finished, and " if summary.shards else ""
        raise UserError(
            f"{counted(summary.failed, 'shard')} could not be processed ({summary.faults[0]}); {others}the same "
            "command does what is left"
        )
    return summary
