"""One shard after another, in this process."""

from collections.abc import Callable, Iterable, Iterator

from promptmlr.archives.job import Job, Outcome
from promptmlr.archives.sources import Shard
from promptmlr.options import ArchiveOptions

__all__ = ["run_here"]


def run_here(
    job: Job, shards: Iterable[Shard], _options: ArchiveOptions, _device: str, said: Callable[[int], None]
) -> Iterator[Outcome]:
    """Outcomes in the order of the shards."""
    for shard in shards:
        yield job.finish(shard, said)
