"""One shard in, one file of rows and its record out: what every engine runs, and nothing else."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from promptmlr.archives.kinds import KINDS
from promptmlr.archives.manifest import SHOWN, Finished, Manifest
from promptmlr.archives.outputs import FORMS
from promptmlr.archives.sample import Sample, ShardFault
from promptmlr.archives.sources import Shard
from promptmlr.remote import MissingSource, storing

__all__ = ["Job", "Outcome", "Work", "process_shard"]


class Work(Protocol):
    """What is done with samples."""

    verb: str

    @property
    def schema(self) -> pa.Schema:
        """Of its rows; with columns `id` and `error`."""

    def identity(self) -> dict[str, str]:
        """What decides the rows, besides the images."""

    def rows(self, samples: Iterable[Sample]) -> Iterator[pa.RecordBatch]:
        """A row per sample, in order."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a shard.

    Attributes:
        record: of one that is finished.
        before: whether it was so already.
        fault: why it cannot be.
    """

    record: Finished | None = None
    before: bool = False
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Work, and where its rows go; small enough to be sent to other machines.

    Attributes:
        work: what is done.
        manifest: the output folder.
        image_column: of Parquet, where images are; None finds it.
    """

    work: Work
    manifest: Manifest
    image_column: str | None = None

    def finish(self, shard: Shard, said: Callable[[int], None] = lambda _: None) -> Outcome:
        """Process a shard, unless it is finished already.

        Args:
            shard: where images are.
            said: called with the number of rows of each batch.

        Raises:
            UserError: whatever stops the other shards as well.
            EnvironmentFault: the same.
        """
        try:
            stamp = shard.stamp()
            record = self.manifest.finished(shard, stamp)
            if record is not None:
                return Outcome(record, before=True)
            return Outcome(self._written(shard, stamp, said))
        except (ShardFault, MissingSource) as error:
            return Outcome(fault=str(error))

    def _written(self, shard: Shard, stamp: str, said: Callable[[int], None]) -> Finished:
        rows, unreadable = 0, 0
        first: dict[str, str] = {}
        with (
            storing(self.manifest.output(shard)) as file,
            FORMS[self.manifest.form](file, self.work.schema) as write,
        ):
            for batch in process_shard(self.work, shard, self.image_column):
                write(batch)
                rows += len(batch)
                said(len(batch))
                for key, error in zip(batch["id"].to_pylist(), batch["error"].to_pylist(), strict=True):
                    if error is not None:
                        unreadable += 1
                        if len(first) < SHOWN:
                            first[key] = error
            if shard.stamp() != stamp:
                raise ShardFault(f"{shard.url}: it was changed while it was read; repeat the command")
        return self.manifest.finish(shard, stamp, rows, first, unreadable)


def process_shard(work: Work, shard: Shard, image_column: str | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a shard, batch by batch, in its order; nothing is written.

    Raises:
        ShardFault: the shard cannot be processed as it is.
        UserError: as `opened`.
        EnvironmentFault: as `opened`.
    """
    return work.rows(KINDS[shard.kind].read(shard.url, shard.files, image_column))
