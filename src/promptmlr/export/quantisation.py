"""Weights of the image tower in 8 bits, with onnxruntime's own quantisation; the recognizer stays in float32."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from promptmlr.errors import EnvironmentFault, of_extra

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["quantised"]

OPERATORS = ["Conv", "Gemm", "MatMul"]


def quantised(model: "ModelProto", calibration: Sequence[NDArray[Any]]) -> bytes:
    """The model with its image tower in 8 bits.

    With calibration images the ranges of activations are measured once and stored in the file (static). Without them
    each call measures the ranges over its batch (dynamic), so an image's probabilities depend slightly on the others.

    Args:
        model: in float32, as `graph.onnx_model` makes it.
        calibration: batches of `images`, or none.

    Raises:
        UserError: the extra is not installed.
        EnvironmentFault: nothing in the tower can be quantised.
    """
    with of_extra("export"):
        import onnx
        from onnxruntime import quantization

    tower = [node.name for node in model.graph.node if node.name.startswith("tower/")]
    if not any(node.op_type in OPERATORS for node in model.graph.node if node.name in set(tower)):
        raise EnvironmentFault("--int8: this version of torch does not say which nodes are the image tower's")
    others = [node.name for node in model.graph.node if not node.name.startswith("tower/")]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        if calibration:
            quantization.quantize_static(
                source,
                target,
                _reader(calibration),
                op_types_to_quantize=OPERATORS,
                nodes_to_exclude=others,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        else:
            quantization.quantize_dynamic(
                source,
                target,
                op_types_to_quantize=OPERATORS,
                nodes_to_exclude=others,
                weight_type=quantization.QuantType.QUInt8,
            )
        made = onnx.load(target)
    for entry in made.metadata_props:
        if entry.key == "precision":
            entry.value = "int8, " + ("static" if calibration else "dynamic")
    content: bytes = made.SerializeToString()
    return content


def _reader(calibration: Sequence[NDArray[Any]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches: Iterator[NDArray[Any]] = iter(calibration)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence onnxruntime's messages on the root logger and on stdout."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
