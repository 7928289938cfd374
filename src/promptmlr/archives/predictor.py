"""Images in, probabilities and labels out: for shards, and for `map_batches` of Ray Data, Daft and their like."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from promptmlr.archives.labels import LabelTable, given_labels
from promptmlr.archives.sample import Sample
from promptmlr.backbone import Backbone
from promptmlr.data.images import UnreadableImage
from promptmlr.errors import UserError
from promptmlr.prediction import chosen_labels
from promptmlr.regions import encode_stream
from promptmlr.run import Run, load_run

__all__ = ["Predictor"]

COLUMNS = ("id", "labels", "error", "given")
"""Of the rows, before those of classes."""


class Predictor:
    """A folded run that is given images.

    It is pickled without its image tower, which each process loads when it needs it.

    Args:
        run: a finished run, its folder, or `hf://owner/name`.
        threshold: a class is a label when its probability is above it; None: the run's own, one per class.
        top: at most this many labels per image, the most probable first.
        backbone: where the run's CLIP is, and
        pretrained: its weights, if elsewhere than when it was trained (`load_backbone`).
        device: that runs the image tower.
        batch_size: images through the tower at once; None chooses.
        workers: threads that decode images.
        image_column: of the batches that it is called with: bytes of image files, (H, W, 3) uint8 arrays, or addresses.
        table: labels by id, to be written beside predictions.
        strict: refuse unreadable images.

    Raises:
        UserError: no such run, or a class that is called like a column of the rows.
    """

    verb = "predict"

    def __init__(
        self,
        run: Run | str | Path,
        *,
        threshold: float | None = None,
        top: int | None = None,
        backbone: str | Path | None = None,
        pretrained: str | None = None,
        device: str = "cpu",
        batch_size: int | None = None,
        workers: int = 2,
        image_column: str = "image",
        table: LabelTable | None = None,
        strict: bool = False,
    ) -> None:
        self.run = run if isinstance(run, Run) else load_run(run)
        self._cut = threshold if threshold is not None else (-1.0 if top else self.run.thresholds)
        self._top = top
        self._tower = (backbone, pretrained, device)
        self._batch_size, self._workers = batch_size, workers
        self._image_column = image_column
        self._table = table
        self._strict = strict
        for name in self.run.class_names:
            if name in COLUMNS:
                raise UserError(f"rows have a column {name!r} already, and a class of {self.run.path} is called so")

    @property
    def schema(self) -> pa.Schema:
        """Of the rows: id, labels, why the image could not be read, labels known before, and C probabilities."""
        given = pa.map_(pa.string(), pa.int8())
        fields = [("id", pa.string()), ("labels", pa.list_(pa.string())), ("error", pa.string()), ("given", given)]
        return pa.schema([*fields, *((name, pa.float32()) for name in self.run.class_names)])

    def identity(self) -> dict[str, str]:
        """What decides the rows, besides the images."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.run.recognizer.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        calibration = self.run.calibration
        digest.update(self.run.config.model_dump_json().encode())
        digest.update(b"" if calibration is None else calibration.model_dump_json().encode())
        cut = np.broadcast_to(self._cut, len(self.run.class_names)).tolist()
        return {
            "verb": self.verb,
            "run": digest.hexdigest(),
            "thresholds": hashlib.sha256(repr(cut).encode()).hexdigest(),
            "top": str(self._top),
            "labels": "" if self._table is None else self._table.identity,
        }

    def rows(self, samples: Iterable[Sample]) -> Iterator[pa.RecordBatch]:
        """Rows as `schema` has them, in the order of the samples; a batch is in memory.

        Raises:
            UnreadableImage: an image cannot be read, and the predictor is strict.
        """
        names = self.run.class_names
        for batch, errors, probabilities, labels in self._predicted(samples):
            assert all(isinstance(sample, Sample) for sample in batch)
            given = [(self._table.of(sample.id) if self._table else given_labels(sample, names)) for sample in batch]
            columns = [
                pa.array([sample.id for sample in batch], pa.string()),
                pa.array(labels, pa.list_(pa.string())),
                pa.array(errors, pa.string()),
                pa.array([list(one.items()) for one in given], self.schema.field("given").type),
                *(pa.array(column, pa.float32(), from_pandas=True) for column in probabilities.T),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """A batch without its images, and with three columns more.

        Args:
            batch: column → B values.

        Returns:
            The others of these columns, and `labels` (lists of names), `probabilities` (B, C) float32 in the order of
            `run.class_names`, NaN where the image could not be read, and `error`, which says why.
        """
        values = batch[self._image_column]
        images = [_Given(f"row {row}", value) for row, value in enumerate(values)]
        parts = list(self._predicted(images))
        labels = np.empty(len(images), dtype=object)
        labels[:] = [one or [] for _, _, _, found in parts for one in found]
        return {
            **{name: column for name, column in batch.items() if name != self._image_column},
            "labels": labels,
            "probabilities": np.concatenate([probabilities for _, _, probabilities, _ in parts]),
            "error": np.array([error or "" for _, errors, _, _ in parts for error in errors]),
        }

    def _predicted(
        self, images: Iterable[Any]
    ) -> Iterator[tuple[list[Any], list[str | None], NDArray[np.float32], list[list[str] | None]]]:
        """Batches of images: why they cannot be read, (B, C) probabilities or NaN, and labels or None."""
        names = self.run.class_names
        for batch, errors, regions in encode_stream(self._backbone(), images, self._batch_size, self._workers):
            told = [None if error is None else _reason(error, self._strict) for error in errors]
            probabilities = np.full((len(batch), len(names)), np.nan, dtype=np.float32)
            readable = np.array([error is None for error in errors])
            if regions is not None:
                probabilities[readable] = self.run.probabilities(regions)
            chosen = [
                chosen_labels(row, names, self._cut, self._top) if good else None
                for row, good in zip(probabilities, readable, strict=True)
            ]
            yield batch, told, probabilities, chosen

    def _backbone(self) -> Backbone:
        return self.run.backbone if self.run.has_backbone else self.run.use_backbone(*self._tower)


@dataclass(frozen=True, slots=True)
class _Given:
    """An image of a batch, in whatever form it came."""

    name: str
    value: Any

    def open(self) -> Image.Image:
        value = self.value.get("bytes") or self.value.get("path") if isinstance(self.value, dict) else self.value
        if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim in (2, 3):
            return Image.fromarray(value).convert("RGB")
        if value is None or isinstance(value, bytes | str):
            return Sample(self.name, value).open()
        raise UnreadableImage(f"{self.name}: neither bytes of an image file, nor (H, W, 3) uint8, nor an address")


def _reason(error: UnreadableImage, strict: bool) -> str:
    """Why an image cannot be read, without its id."""
    if strict:
        raise error
    return str(error).partition(": ")[2]
