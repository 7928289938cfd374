"""`promptmlr export --to onnx`: one file, checked before it gets its name, and the effect of 8-bit weights."""

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from promptmlr.data import LabelledImages
from promptmlr.data.images import ImageRef
from promptmlr.errors import UnreadableImage, UserError, of_extra
from promptmlr.evaluation import evaluate
from promptmlr.export.checking import (
    Agreement,
    OnnxSession,
    check_against_pytorch,
    median_seconds,
    normalised,
    predictions,
    random_photos,
    reference,
)
from promptmlr.export.graph import InputKind, RunGraph, onnx_model, run_graph
from promptmlr.export.quantisation import quantised
from promptmlr.files import write_bytes
from promptmlr.opening import common_classes
from promptmlr.reporting import Reporter
from promptmlr.run import Run

__all__ = ["OnnxFile", "export_onnx", "scores"]

CALIBRATION_IMAGES = 128
CALIBRATION_BATCH = 8
RANDOM_PHOTOS = 16  # that stand for photos where none are given


@dataclass(frozen=True)
class OnnxFile:
    """An exported file and its measurements.

    Attributes:
        path: the file.
        size: in bytes.
        largest_difference: from PyTorch, in probability, of the float32 model.
        sessions: the float32 model in onnxruntime, then the 8-bit one where there is one.
        graph: the run in PyTorch.
        quantisation: "static", "dynamic", or None without `int8`.
        float_size: of the float32 model, in bytes.
        agreement: of float32 and 8 bits on random photos.
        seconds: median per image, of float32 and of 8 bits.
        tower_difference: in probability, from the run's own tower where that is not in float32.
    """

    path: Path
    size: int
    largest_difference: float
    sessions: tuple[OnnxSession, ...]
    graph: RunGraph
    float_size: int
    quantisation: str | None = None
    agreement: Agreement | None = None
    seconds: tuple[float, ...] = ()
    tower_difference: float | None = None

    def lines(self) -> list[str]:
        """Lines on the measurements."""
        step = "" if self.quantisation is None else "before the step to 8 bits, "
        lines = [
            f"{self.path}: {_megabytes(self.size)}",
            f"in onnxruntime {version('onnxruntime')} probabilities are those of PyTorch to "
            f"{self.largest_difference:.0e} ({step}float32, random photos in batches of 1 and 3)",
        ]
        if self.tower_difference is not None:
            lines.append(
                "the run's image tower is not in float32; its weights are, in the file: probabilities differ from the "
                f"run's own by up to {self.tower_difference:.4f}"
            )
        if self.agreement is not None:
            before, after = self.seconds
            lines.append(
                f"8 bits, {self.quantisation}: {self.float_size / self.size:.1f} times smaller than float32 "
                f"({_megabytes(self.float_size)}), {before / after:.2f} times as fast on this CPU (medians: "
                f"{1000 * after:.1f} ms per image, float32 {1000 * before:.1f} ms)"
            )
            lines.append(
                f"8 bits against float32, {RANDOM_PHOTOS} random photos: {difference_in_words(self.agreement)}"
            )
        return lines


def scores(run: Run, made: OnnxFile, labelled: LabelledImages, reporter: Reporter) -> list[str]:
    """How the file scores beside the run, a line each.

    Args:
        run: what was exported.
        made: its file.
        labelled: N images and their labels; those that cannot be read are left out, and said.
        reporter: receives progress and messages.

    Raises:
        UserError: the run knows none of the classes.
    """
    rows, columns = common_classes(run.class_names, labelled.class_names, reporter)
    with reporter.progress("checking on images") as say:
        kept, found, bad = predictions(made.sessions, made.graph, labelled.images, say)
    for error in bad:
        reporter.note(f"unreadable, left out: {error}")
    names, labels = [run.class_names[row] for row in rows], labelled.labels[kept][:, columns]
    lines = []
    for name, probabilities in zip(("PyTorch", "ONNX float32", "ONNX 8 bits"), found, strict=False):
        score = evaluate(probabilities[:, rows], labels, names, resamples=0).mean_ap
        line = f"{name}: mAP {100 * score:.2f} on {len(kept):,} images"
        if probabilities is not found[0]:
            line += f"; against PyTorch {difference_in_words(Agreement.of(found[0], probabilities, run.thresholds))}"
        lines.append(line)
    return lines


def difference_in_words(agreement: Agreement) -> str:
    """A difference of probabilities in words."""
    return (
        f"probabilities differ by {agreement.mean:.1g} on average, {agreement.largest:.1g} at most; "
        f"{100 * agreement.labels:.1f} % of labels are the same"
    )


def export_onnx(
    run: Run,
    out: Path,
    *,
    inputs: InputKind = "normalised",
    int8: bool = False,
    calibration: Sequence[ImageRef] = (),
) -> OnnxFile:
    """Write a run as one ONNX file without external data, whole or not at all.

    Args:
        run: its backbone is used as it is loaded.
        out: the file.
        inputs: the kind of `images`; see `graph.INPUTS`.
        int8: whether to quantise the image tower to 8 bits.
        calibration: images on which ranges of 8-bit activations are measured; see `quantisation.quantised`.

    Raises:
        UserError: the extra is not installed, or the weights do not fit one file.
        EnvironmentFault: onnxruntime and PyTorch do not agree, or the file cannot be written.
    """
    with of_extra("export"):
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    graph = run_graph(run, inputs)
    model = onnx_model(run, graph)
    preprocessing = run.backbone.preprocessing
    check_against_pytorch(OnnxSession(model.SerializeToString(), inputs, preprocessing), graph)
    del model.graph.output[1:]  # logits were there to be compared
    content = model.SerializeToString()
    session = OnnxSession(content, inputs, preprocessing)
    largest = check_against_pytorch(session, graph)
    float_size = len(content)
    found: tuple[OnnxSession, ...] = (session,)
    agreement: Agreement | None = None
    seconds: tuple[float, ...] = ()
    if int8:
        content = quantised(model, _batches(session, calibration))
        found = (session, OnnxSession(content, inputs, preprocessing))
        photos = random_photos(RANDOM_PHOTOS, (preprocessing.image_size, preprocessing.image_size))
        before, after = (one.predict(photos) for one in found)
        agreement = Agreement.of(before, after, run.thresholds)
        seconds = tuple(median_seconds(found))
    write_bytes(out, content)
    return OnnxFile(
        out,
        len(content),
        largest,
        found,
        graph,
        float_size,
        ("static" if calibration else "dynamic") if int8 else None,
        agreement,
        seconds,
        _tower_difference(run, graph),
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _batches(session: OnnxSession, images: Sequence[ImageRef]) -> list[Any]:
    """Some of the images, evenly spaced, as inputs."""
    step = max(len(images) // CALIBRATION_IMAGES, 1)
    photos = []
    for image in itertools.islice(images[::step], CALIBRATION_IMAGES):
        with contextlib.suppress(UnreadableImage):  # one more or less does not matter
            photos.append(image.open())
    if images and not photos:
        raise UserError(f"none of the images to calibrate on can be read, such as {images[0].name}")
    at_once = 1 if session.inputs == "rgb" else CALIBRATION_BATCH
    return [session.feed(photos[begin : begin + at_once]) for begin in range(0, len(photos), at_once)]


def _tower_difference(run: Run, graph: RunGraph) -> float | None:
    backbone = run.backbone
    if backbone.dtype == torch.float32:
        return None
    side = backbone.image_size
    photos = random_photos(RANDOM_PHOTOS, (side, side))
    own = run.probabilities(backbone.encode_image(normalised(photos, backbone.preprocessing)))
    return float(abs(own - reference(graph, photos, backbone.preprocessing)).max())
