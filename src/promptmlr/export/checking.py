"""Comparison of an ONNX model in onnxruntime with the run in PyTorch: agreement, labels, seconds."""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from promptmlr.backbone import Preprocessing
from promptmlr.data.images import ImageRef, UnreadableImage
from promptmlr.errors import EnvironmentFault, of_extra
from promptmlr.export.graph import InputKind, RunGraph
from promptmlr.reporting import Progress

__all__ = [
    "TOLERANCE",
    "Agreement",
    "OnnxSession",
    "check_against_pytorch",
    "median_seconds",
    "normalised",
    "predictions",
    "random_photos",
    "reference",
]

TOLERANCE = 1e-4  # of probabilities
LOGIT_TOLERANCE = 1e-3  # of logits, for each unit of their size and one
BATCHES = (1, 3)
SEED = 0
AT_ONCE = 16
TIMED_IMAGES = 4
TIMED_ROUNDS = 11

Photos = Sequence[Image.Image]
Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """Difference of two sets of (N, C) probabilities.

    Attributes:
        largest: the largest absolute difference.
        mean: the mean absolute difference.
        labels: share of cells with the same predicted label.
    """

    largest: float
    mean: float
    labels: float

    @classmethod
    def of(cls, one: Probabilities, other: Probabilities, thresholds: NDArray[np.float64]) -> "Agreement":
        """The difference of two sets, with (C,) thresholds."""
        apart = np.abs(one.astype(np.float64) - other)
        return cls(float(apart.max()), float(apart.mean()), float(((one > thresholds) == (other > thresholds)).mean()))


class OnnxSession:
    """A model in onnxruntime on the CPU.

    Args:
        model: the bytes of the file.
        inputs: the kind of its input `images`.
        preprocessing: of the run.
        threads: of onnxruntime; 0 lets it choose.
    """

    def __init__(self, model: bytes, inputs: InputKind, preprocessing: Preprocessing, threads: int = 0) -> None:
        with of_extra("export"):
            import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.inputs = inputs
        self.preprocessing = preprocessing

    def feed(self, photos: Photos) -> NDArray[Any]:
        """The input `images` of RGB photos: for "normalised" of any sizes, for "rgb" of one size."""
        if self.inputs == "rgb":
            return np.stack([np.asarray(photo).transpose(2, 0, 1) for photo in photos])
        return normalised(photos, self.preprocessing).numpy()

    @property
    def outputs(self) -> list[str]:
        """Their names."""
        return [output.name for output in self._session.get_outputs()]

    def run(self, images: NDArray[Any], output: str = "probabilities") -> Probabilities:
        """Input `images` → (N, C) probabilities, or another output."""
        found: Probabilities = self._session.run([output], {"images": images})[0]
        return found

    def predict(self, photos: Photos) -> Probabilities:
        """(N, C) probabilities of RGB photos of any sizes."""
        if self.inputs == "normalised" or len({photo.size for photo in photos}) == 1:
            return self.run(self.feed(photos))
        return np.concatenate([self.run(self.feed([photo])) for photo in photos])


def normalised(photos: Photos, preprocessing: Preprocessing) -> torch.Tensor:
    """(N, 3, S, S) float32 of RGB photos of any sizes."""
    return preprocessing.normalise(torch.stack([preprocessing.pixels(photo) for photo in photos]))


def reference(graph: RunGraph, photos: Photos, preprocessing: Preprocessing) -> Probabilities:
    """(N, C) of the run in PyTorch, in float32: Pillow squashes the photos, whatever the graph could do."""
    return _reference(graph, photos, preprocessing)["probabilities"]


@torch.no_grad()
def _reference(graph: RunGraph, photos: Photos, preprocessing: Preprocessing) -> dict[str, Probabilities]:
    probabilities, logits = graph.from_normalised(normalised(photos, preprocessing))
    return {"probabilities": probabilities.numpy(), "logits": logits.numpy()}


def random_photos(count: int, size: tuple[int, int], seed: int = SEED) -> list[Image.Image]:
    """RGB photos of (width, height): coarse patches of random colour under noise."""
    rng = np.random.default_rng([seed, *size])
    photos = []
    for _ in range(count):
        patches = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        noisy = np.asarray(patches.resize(size, Image.Resampling.BICUBIC)).astype(np.int16) + rng.integers(
            -40, 41, (size[1], size[0], 3)
        )
        photos.append(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))
    return photos


def check_against_pytorch(session: OnnxSession, graph: RunGraph) -> float:
    """The largest difference in probability on random photos of several batch sizes (and, for "rgb", photo sizes).

    Logits are compared as well where the model has them as an output.

    Raises:
        EnvironmentFault: it is above `TOLERANCE`, or that of logits, for their size, above `LOGIT_TOLERANCE`.
    """
    largest = 0.0
    for photos in _trials(session):
        images, wanted = session.feed(photos), _reference(graph, photos, session.preprocessing)
        for output in session.outputs:
            there, here = wanted[output], session.run(images, output)
            if here.shape != there.shape or not np.isfinite(here).all():
                raise EnvironmentFault(
                    f"in onnxruntime the model gives {output} of shape {here.shape} where {there.shape} finite ones "
                    "are needed; nothing is written"
                )
            apart = np.abs(here - there)
            if output == "probabilities":
                largest = max(largest, float(apart.max()))
            bound = TOLERANCE if output == "probabilities" else LOGIT_TOLERANCE * (1 + np.abs(there))
            if (apart > bound).any():
                raise EnvironmentFault(
                    f"in onnxruntime {output} differ from PyTorch's by up to {apart.max():.1e}, which is too much; "
                    "nothing is written (other versions of torch, onnxscript or onnxruntime may do better)"
                )
    return largest


def _trials(session: OnnxSession) -> Iterator[list[Image.Image]]:
    side = session.preprocessing.image_size
    # No high ones: there versions of Pillow differ among themselves.
    sizes = [(side, side)] + ([(2 * side + 7, side + 40), (side // 2, side // 3)] if session.inputs == "rgb" else [])
    for size in sizes:
        for batch in BATCHES:
            yield random_photos(batch, size, SEED + batch)


def median_seconds(sessions: Sequence[OnnxSession]) -> list[float]:
    """Median seconds per image of sessions measured in turns, on random photos of the run's size."""
    seconds: list[list[float]] = [[] for _ in sessions]
    for turn in range(TIMED_ROUNDS + 1):
        for session, own in zip(sessions, seconds, strict=True):
            side = session.preprocessing.image_size
            images = session.feed(random_photos(TIMED_IMAGES, (side, side)))
            begin = time.perf_counter()
            session.run(images)
            if turn:  # the first one warms up
                own.append((time.perf_counter() - begin) / TIMED_IMAGES)
    return [statistics.median(own) for own in seconds]


def predictions(
    sessions: Sequence[OnnxSession], graph: RunGraph, images: Sequence[ImageRef], progress: Progress | None = None
) -> tuple[list[int], list[Probabilities], list[UnreadableImage]]:
    """The same images through PyTorch and through sessions.

    Returns:
        The N' indices of the readable images; (N', C) of PyTorch, then of each session; errors of the other images.

    Raises:
        UnreadableImage: there is no readable one.
    """
    kept: list[int] = []
    bad: list[UnreadableImage] = []
    rows: list[list[Probabilities]] = [[] for _ in range(1 + len(sessions))]
    for begin in range(0, len(images), AT_ONCE):
        photos = []
        for index in range(begin, min(begin + AT_ONCE, len(images))):
            try:
                photos.append(images[index].open())
                kept.append(index)
            except UnreadableImage as error:
                bad.append(error)
        if photos:
            rows[0].append(reference(graph, photos, sessions[0].preprocessing))
            for session, own in zip(sessions, rows[1:], strict=True):
                own.append(session.predict(photos))
        if progress is not None:
            progress(min(begin + AT_ONCE, len(images)), len(images))
    if not kept:
        raise bad[0] if bad else UnreadableImage("there is no image to check with")
    return kept, [np.concatenate(own) for own in rows], bad
