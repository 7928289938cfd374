"""`promptmlr export`: a run for use elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from promptmlr.cli.options import Backbone, Overwrite, Reading, RunFolder
from promptmlr.cli.outcome import check_free
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import UserError
from promptmlr.options import BackboneOptions, DataOptions

if TYPE_CHECKING:
    from promptmlr.run import Run

__all__ = ["export"]


def export(
    run: RunFolder,
    /,
    *,
    to: Literal["onnx", "hub"],
    out: Path,
    input: Literal["normalised", "rgb"] = "normalised",  # noqa: A002
    int8: bool = False,
    calibrate: str | None = None,
    check: str | None = None,
    overwrite: Overwrite = False,
    weights: Backbone = BackboneOptions(),
    reading: Reading = DataOptions(),
) -> None:
    """Write a run as one ONNX file, checked against PyTorch, or as a folder for the Hugging Face Hub.

    Args:
        to: onnx: one file. hub: a folder in the layout of the Hugging Face Hub; other commands read it as a run.
        out: The .onnx file or the folder to write.
        input: Format of the ONNX file's `images`. normalised: float32 (N, 3, S, S). rgb: uint8 (N, 3, H, W), 0..255,
            channels first, of any size; the file resizes and normalises them as promptmlr does.
        int8: ONNX: store the image tower in 8 bits, and print what that costs.
        calibrate: With --int8: a folder or glob of typical images, which fix the ranges of activations in the file
            (static). (default: each call measures its own ranges: dynamic)
        check: ONNX: labelled images on which to score the file and the run, as `evaluate` does.
    """
    from promptmlr.run import load_run

    if to == "hub":
        _refuse_for_hub(input=input != "normalised", int8=int8, calibrate=calibrate, check=check)
        _to_hub(load_run(run), out)
        return
    from promptmlr.data.images import ImageFile, find_images
    from promptmlr.export.onnx_file import export_onnx, scores
    from promptmlr.opening import open_data

    if out.suffix.lower() != ".onnx":
        raise UserError(f"--out {out}: the name of an ONNX file ends in .onnx")
    check_free(out, overwrite and not out.is_dir())
    if calibrate is not None and not int8:
        raise UserError("--calibrate is about --int8; add it, or leave --calibrate out")
    typical = [] if calibrate is None else [ImageFile(path) for path in find_images([calibrate])]
    loaded = load_run(run)
    like = loaded.reading
    labelled = None if check is None else open_data(check, "test", reading, Terminal(), like)
    loaded.use_backbone(weights.backbone, weights.pretrained)
    note("tracing the image tower, then checking it in onnxruntime: seconds to minutes")
    made = export_onnx(loaded, out, inputs=input, int8=int8, calibration=typical)
    for line in made.lines():
        print(line)
    if labelled is not None:
        for line in scores(loaded, made, labelled, Terminal()):
            print(line)


def _to_hub(run: "Run", out: Path) -> None:
    from promptmlr.export.hub_folder import write_hub_folder

    path = write_hub_folder(run, out)
    note(f"written to {path}; read its README.md, then: promptmlr push {run.path} OWNER/NAME")


def _refuse_for_hub(**given: object) -> None:
    for option, value in given.items():
        if value:
            raise UserError(f"--{option} is about --to onnx; leave it out with --to hub")
