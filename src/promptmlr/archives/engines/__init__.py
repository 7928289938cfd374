"""What runs a job over shards, by name: each is a function from a job, shards and settings to outcomes as they come."""

from collections.abc import Callable, Iterable, Iterator

from promptmlr.archives.engines.here import run_here
from promptmlr.archives.engines.ray import run_on_ray
from promptmlr.archives.job import Job, Outcome
from promptmlr.archives.sources import Shard
from promptmlr.options import ArchiveOptions

__all__ = ["ENGINES", "Engine"]

Engine = Callable[[Job, Iterable[Shard], ArchiveOptions, str, Callable[[int], None]], Iterator[Outcome]]

ENGINES: dict[str, Engine] = {"here": run_here, "ray": run_on_ray}
"""Each takes the device of the image tower as well, and what is told how many rows are done."""
