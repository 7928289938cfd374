"""A run as one graph from images to probabilities: as a PyTorch module, and as a self-contained ONNX model."""

import copy
import json
import logging
import warnings
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from promptmlr.backbone import ImageTower, Preprocessing
from promptmlr.calibration import FITTED
from promptmlr.errors import UserError
from promptmlr.functional import presence_probability
from promptmlr.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import GraphProto, ModelProto, NodeProto

__all__ = ["INPUTS", "InputKind", "RunGraph", "exported", "onnx_model", "run_graph"]

InputKind = Literal["normalised", "rgb"]

INPUTS: dict[InputKind, str] = {
    "normalised": "float32 (N, 3, S, S): RGB squashed to S x S with Pillow's bilinear filter, divided by 255, less "
    "`mean`, divided by `std`",
    "rgb": "uint8 (N, 3, H, W): RGB in 0..255, channels first, any H and W; the graph squashes it to S x S and "
    "normalises it",
}
"""Kind of input → description of `images` in `--help` and in the file's metadata."""

OPSET = 18
WEIGHT = 2.0**22  # of Pillow's resampling, for 8-bit levels: PRECISION_BITS in its Resample.c
MAX_BYTES = 2**31 - 2**24  # of weights: a protobuf message ends at 2 GiB, and the graph takes some of them
NODE_SCOPES = "pkg.torch.onnx.name_scopes"  # which module a node comes from, in its metadata


class Squash(nn.Module):
    """uint8 RGB of any size → normalised squares, bit for bit as `Preprocessing.pixels` and `normalise` make them.

    Pillow's bilinear filter is a triangle as wide as the reduction, with whole levels in between and after. Its
    weights are multiples of 2^-22: sums of them are exact in float64, whatever the order. It goes along rows first,
    since version 13 along columns where an image is much too high; earlier ones are one level off in such images.

    Args:
        preprocessing: size and normalisation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.side = preprocessing.image_size
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 → (N, 3, S, S) float32."""
        across, down = self._weights(images.shape[3]).T, self._weights(images.shape[2])
        if torch.compiler.is_exporting():
            height, width = _count(down.T), _count(across)
            columns_first = (height > self.side) & (height - self.side > 2 * (width - self.side))
            pixels = torch.cond(columns_first, _columns_first, _rows_first, (images, across, down))
        else:
            excess = images.shape[2] - self.side
            tall = excess > max(0, 2 * (images.shape[3] - self.side))
            pixels = (_columns_first if tall else _rows_first)(images, across, down)
        squares: Tensor = (pixels.float() / 255 - self.mean) / self.std
        return squares

    def _weights(self, length: int) -> Tensor:
        """(S, length) float64, whole multiples of 1 / WEIGHT: what each pixel of a line of S is made of."""
        positions = torch.arange(length, dtype=torch.float64) + 0.5
        scale = (positions[-1:] + 0.5) / self.side
        centres = (torch.arange(self.side, dtype=torch.float64) + 0.5)[:, None] * scale
        weights = (1 - (positions - centres).abs() / scale.clamp(min=1.0)).clamp(min=0.0)
        return (weights / weights.sum(dim=1, keepdim=True) * WEIGHT + 0.5).floor()


def _rows_first(images: Tensor, across: Tensor, down: Tensor) -> Tensor:
    return _levels(down @ _levels(images.double() @ across))


def _columns_first(images: Tensor, across: Tensor, down: Tensor) -> Tensor:
    return _levels(_levels(down @ images.double()) @ across)


def _count(lines: Tensor) -> Tensor:
    """How many rows, as a tensor, which a graph may branch on."""
    return torch.ones_like(lines[:, :1], dtype=torch.int64).sum()


class RunGraph(nn.Module):
    """A run from its images to probabilities, in float32.

    Args:
        tower: the image tower.
        recognizer: regions (N, R, D) → logits (N, 2, C), calibrated if the run is.
        squash: for images that are not normalised.
    """

    def __init__(self, tower: ImageTower, recognizer: nn.Module, squash: Squash | None = None) -> None:
        super().__init__()
        self.squash = squash
        self.tower = tower
        self.recognizer = recognizer

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images as `INPUTS` describes them → (N, C) probabilities of presence, and their (N, 2, C) logits."""
        return self.from_normalised(images if self.squash is None else self.squash(images))

    def from_normalised(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) float32, normalised → the same."""
        logits = self.recognizer(self.tower(images))
        return presence_probability(logits), logits


def run_graph(run: Run, inputs: InputKind = "normalised") -> RunGraph:
    """The graph of a run, on the CPU; it shares no tensor with the run.

    Raises:
        UserError: the run's backbone cannot be found, or it sees tiles.
    """
    backbone = run.backbone
    if backbone.tiles:
        raise UserError(
            f"run {run.path} sees tiles of its images (--crops {backbone.preprocessing.crops}), and a graph sees one "
            "square: use the run folder itself (--to hub), or train without --crops"
        )
    squash = Squash(backbone.preprocessing) if inputs == "rgb" else None
    return (
        RunGraph(backbone.image_tower(), copy.deepcopy(run.calibrated).cpu().float(), squash)
        .eval()
        .requires_grad_(False)
    )


def onnx_model(run: Run, graph: RunGraph) -> "ModelProto":
    """The graph as an ONNX model that fits one file, with dynamic N (for rgb also H and W) and metadata of the run.

    Its outputs are those of `RunGraph`: logits keep precision where probabilities are near 0 or 1.

    Raises:
        UserError: its weights do not fit one file.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in graph.parameters())
    if size > MAX_BYTES:
        raise UserError(
            f"{run.config.backbone.name} has an image tower of {size / 2**30:.1f} GiB in float32, and one ONNX file "
            "ends at 2 GiB; use a smaller tower (`promptmlr backbones`), or the run folder itself (--to hub)"
        )
    side = run.config.backbone.pixels.image_size
    kind: InputKind = "normalised" if graph.squash is None else "rgb"
    if kind == "rgb":
        example = torch.zeros(2, 3, side + 3, side + 5, dtype=torch.uint8)
        model = exported(graph, example, {0: "N", 2: "H", 3: "W"})
    else:
        model = exported(graph, torch.zeros(2, 3, side, side), {0: "N"})
    for key, value in _metadata(run, kind).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    return model


def exported(graph: RunGraph, example: Tensor, open_sizes: dict[int, str]) -> "ModelProto":
    """The graph as an ONNX model, of any weights.

    Args:
        graph: what is written down.
        example: images as it takes them.
        open_sizes: dimension of the images → its name, where it may be any.
    """
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            input_names=["images"],
            output_names=["probabilities", "logits"],
            dynamic_shapes={"images": {place: torch.export.Dim(name, min=1) for place, name in open_sizes.items()}},
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    model = cast("ModelProto", cast(Any, program).model_proto)
    _tidy(model)
    return model


@contextmanager
def _quiet() -> "Iterator[None]":
    """The exporter has much to say about its own insides."""
    logger = logging.getLogger("onnxscript")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)


def _levels(sums: Tensor) -> Tensor:
    """Weighted sums rounded to integers in 0..255, halves up."""
    return ((sums + WEIGHT / 2) / WEIGHT).floor().clamp(0, 255)


def _metadata(run: Run, kind: InputKind) -> dict[str, str]:
    """Metadata for users of the file; lists and tables as JSON."""
    config = run.config
    return {
        "class_names": json.dumps(config.class_names, ensure_ascii=False),
        "calibrated": "no" if run.calibration is None else FITTED[run.calibration.basis],
        "thresholds": json.dumps(run.thresholds.tolist()),
        "input": INPUTS[kind],
        "input_kind": kind,
        "output": "float32 (N, C): probability that the class is present; it is a label where it is above its "
        "threshold",
        "preprocessing": config.backbone.pixels.model_dump_json(),
        "method": config.method,
        "backbone": config.backbone.name,
        "backbone_weights_sha256": config.backbone.weights_sha256,
        "precision": "float32",
        "promptmlr_version": version("promptmlr"),
    }


def _tidy(model: "ModelProto") -> None:
    """Name nodes after their module, and remove paths of this machine."""
    model.producer_name, model.producer_version = "promptmlr", version("promptmlr")
    graph = model.graph
    graph.name = "promptmlr"
    nodes = list(_nodes(graph))
    for number, node in enumerate(nodes):
        scopes = next((entry.value for entry in node.metadata_props if entry.key == NODE_SCOPES), "['']")
        module = scopes.replace("'", "").strip("[]").split(", ")[1:2]
        node.name = "/".join([*module, f"{node.op_type}_{number}"])
    graphs = [graph, *(attribute.g for node in nodes for attribute in node.attribute if attribute.HasField("g"))]
    values = [value for part in graphs for value in (*part.input, *part.output, *part.value_info, *part.initializer)]
    for part in (*nodes, *values, *graphs, model):
        del part.metadata_props[:]
        part.doc_string = ""
    del model.functions[:]


def _nodes(graph: "GraphProto") -> "Iterator[NodeProto]":
    """All nodes of a graph and of its branches."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
