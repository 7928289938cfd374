"""How an archive is processed: which part of it, by what, and in what form its rows are written."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from promptmlr.errors import UserError
from promptmlr.options.base import Options

__all__ = ["ArchiveOptions"]

_BOUNDS = re.compile(r"([1-9]\d*)(?:,([1-9]\d*))?")


@dataclass(frozen=True)
class ArchiveOptions(Options):
    """Images in shards: tars, Parquet files, folders, here or in an object store.

    Attributes:
        to: Form of the rows.
        shard: Process only a part, such as 0/16, 1/16 … 15/16 in 16 jobs.
        image_column: The column of Parquet files that holds images or their addresses. (default: found by its type)
        labels: A table of labels that are known, id first, classes after it, to stand beside the predictions.
            (default: those inside the shards)
        engine: What runs it: this process, or Ray on a cluster.
        address: Of the Ray cluster; auto finds that of this machine. (default: a cluster of this machine alone)
        actors: How many actors Ray keeps, as a number or as MIN,MAX.
        cpus: Processors of an actor.
    """

    to: Literal["parquet", "jsonl"] = "parquet"
    shard: str | None = None
    image_column: str | None = None
    labels: Path | None = None
    engine: Literal["here", "ray"] = "here"
    address: str | None = None
    actors: str = "1"
    cpus: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        match = _BOUNDS.fullmatch(self.actors)
        if match is None or int(match[1]) > int(match[2] or match[1]):
            raise UserError(f"--actors {self.actors}: write a number, or the least and the most of them, such as 2,8")
        if self.engine != "ray" and (self.address is not None or self.actors != "1" or self.cpus != 1):
            raise UserError("--address, --actors and --cpus are about --engine ray; add it, or leave them out")

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the most actors."""
        least, _, most = self.actors.partition(",")
        return int(least), int(most or least)

    @property
    def asked(self) -> bool:
        """Whether something was said that makes an archive of plain files and folders, too."""
        return self != type(self)()
