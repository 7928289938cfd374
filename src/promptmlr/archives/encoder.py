"""Images in, regions out: what `cache` writes of a shard."""

import json
from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np
import pyarrow as pa

from promptmlr.archives.sample import Sample
from promptmlr.backbone import Backbone
from promptmlr.errors import UserError
from promptmlr.regions import encode_stream

__all__ = ["Encoder"]

_TYPES = {"float16": pa.float16(), "float32": pa.float32()}


class Encoder:
    """A frozen image tower.

    Args:
        backbone: the tower.
        storage: number format of regions, float16 or float32.
        batch_size: images through the tower at once; None chooses.
        workers: threads that decode images.
        strict: refuse unreadable images.

    Raises:
        UserError: Parquet has no such numbers.
    """

    verb = "cache"

    def __init__(
        self,
        backbone: Backbone,
        storage: str = "float16",
        *,
        batch_size: int | None = None,
        workers: int = 2,
        strict: bool = False,
    ) -> None:
        if storage not in _TYPES:
            raise UserError(f"--storage {storage}: an archive's regions are {' or '.join(_TYPES)}")
        self._backbone, self._storage = backbone, storage
        self._batch_size, self._workers, self._strict = batch_size, workers, strict

    @property
    def schema(self) -> pa.Schema:
        """Of the rows: id, R regions of D numbers, why the image could not be read, and what the shard says of it."""
        width = pa.list_(_TYPES[self._storage], self._backbone.feature_width)
        regions = pa.list_(width, self._backbone.regions)
        texts = [(name, pa.string()) for name in ("error", "json", "cls", "txt")]
        return pa.schema([("id", pa.string()), ("regions", regions), *texts])

    def identity(self) -> dict[str, str]:
        """What decides the rows, besides the images."""
        tower = self._backbone.identity()
        return {"verb": self.verb, "storage": self._storage, **{key: str(value) for key, value in tower.items()}}

    def rows(self, samples: Iterable[Sample]) -> Iterator[pa.RecordBatch]:
        """Rows as `schema` has them, in the order of the samples; a batch is in memory.

        Raises:
            UnreadableImage: an image cannot be read, and the encoder is strict.
        """
        count, width = self._backbone.regions, self._backbone.feature_width
        for images, errors, regions in encode_stream(self._backbone, samples, self._batch_size, self._workers):
            batch = cast("list[Sample]", images)
            if self._strict and (bad := [error for error in errors if error is not None]):
                raise bad[0]
            readable = np.array([error is None for error in errors])
            values = np.zeros((len(batch), count, width), dtype=self._storage)
            if regions is not None:
                values[readable] = regions.float().cpu().numpy()
            kind = self.schema.field("regions").type
            each = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), type=kind.value_type)
            columns = [
                pa.array([sample.id for sample in batch], pa.string()),
                pa.FixedSizeListArray.from_arrays(each, type=kind, mask=pa.array(~readable)),
                pa.array([None if error is None else str(error).partition(": ")[2] for error in errors], pa.string()),
                pa.array([json.dumps(sample.record, default=str) if sample.record else None for sample in batch]),
                pa.array([sample.cls for sample in batch], pa.string()),
                pa.array([sample.txt for sample in batch], pa.string()),
            ]
            yield pa.RecordBatch.from_arrays(
                [column.cast(field.type) for column, field in zip(columns, self.schema, strict=True)],
                schema=self.schema,
            )
