"""What an output folder says of itself, so that the next command knows what is finished.

    OUT/manifest.json       what was done: the hash of run and settings, its parts, the form of the rows
    OUT/shards/NAME.json    one finished shard: where it lies, its stamp, that hash, its counts
    OUT/NAME.parquet        its rows, written before

A shard is finished once its record is there. Processes that share a folder never write one file with different content,
so they need no lock.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from promptmlr.archives.sources import Shard
from promptmlr.errors import UserError
from promptmlr.remote import MissingSource, absolute, read_small, stamp_of, storing

__all__ = ["SHOWN", "Finished", "Manifest"]

SHOWN = 10  # unreadable images that a record names; all are in the rows


class Finished(BaseModel):
    """The record of a finished shard.

    Attributes:
        shard: its URL.
        stamp: changes when the shard does.
        job: the hash of what was done with it.
        output: stamp of the file of its rows.
        rows: how many.
        unreadable: how many of them have no image that can be read.
        first: some of those, with the reason.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    shard: str
    stamp: str
    job: str
    output: str
    rows: int
    unreadable: int
    first: dict[str, str]


class Manifest:
    """An output folder.

    Args:
        out: its URL or path.
        identity: of what is done (`Work.identity`).
        form: of the rows.
    """

    def __init__(self, out: str, identity: Mapping[str, str], form: str) -> None:
        self.out = absolute(out.rstrip("/") or "/")
        self.form = form
        self._content = {"format": 1, "form": form, **identity}
        self.hash = hashlib.sha256(json.dumps(self._content, sort_keys=True).encode()).hexdigest()

    def begin(self, overwrite: bool) -> None:
        """Write `manifest.json`, or find the same.

        Raises:
            UserError: the folder is of another job, or the shards in it are, unless they are to be replaced.
            EnvironmentFault: it cannot be written.
        """
        path = f"{self.out}/manifest.json"
        found = self._read(path)
        if found is not None and found.get("hash") == self.hash:
            return
        if found is not None and not overwrite:
            changed = [key for key, value in self._content.items() if found.get(key) != value]
            raise UserError(
                f"{self.out} holds what another {found.get('verb', 'job')} wrote ({', '.join(changed)} changed); name "
                "another folder with --out, or do all of it again with --overwrite"
            )
        self._write(path, {"hash": self.hash, **self._content})

    def output(self, shard: Shard) -> str:
        """Where its rows are."""
        return f"{self.out}/{shard.name}.{self.form}"

    def finished(self, shard: Shard, stamp: str) -> Finished | None:
        """The record of a shard, if it was finished as it is now, by this job, and its rows are still there.

        Raises:
            UserError: as `stamp_of`.
            EnvironmentFault: as `stamp_of`.
        """
        found = self._read(self._record(shard))
        try:
            record = Finished.model_validate(found)
            same = (record.job, record.shard, record.stamp) == (self.hash, shard.url, stamp)
            return record if same and record.output == self._output_stamp(shard) else None
        except (ValidationError, MissingSource):
            return None

    def finish(self, shard: Shard, stamp: str, rows: int, errors: Mapping[str, str], unreadable: int) -> Finished:
        """Record that the rows of a shard are written."""
        record = Finished(
            shard=shard.url,
            stamp=stamp,
            job=self.hash,
            output=self._output_stamp(shard),
            rows=rows,
            unreadable=unreadable,
            first=dict(errors),
        )
        self._write(self._record(shard), record.model_dump())
        return record

    def _output_stamp(self, shard: Shard) -> str:
        """Its size: the rest may differ between a file and its copy."""
        return stamp_of(self.output(shard)).partition("-")[0]

    def _record(self, shard: Shard) -> str:
        return f"{self.out}/shards/{shard.name}.json"

    def _read(self, path: str) -> dict[str, Any] | None:
        try:
            found = json.loads(read_small(path))
        except (MissingSource, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _write(self, path: str, content: Mapping[str, Any]) -> None:
        with storing(path) as file:
            file.write(json.dumps(content, indent=2).encode() + b"\n")
