"""`promptmlr export`: a run for use elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from promptmlr.cli.options import (
    BackboneName,
    Delimiter,
    Format,
    ImageFolder,
    Pretrained,
    RunFolder,
    Split,
    Unlisted,
    common_classes,
    read_data,
)
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import UserError

if TYPE_CHECKING:
    from promptmlr.data import LabelledImages
    from promptmlr.export.onnx_file import OnnxFile
    from promptmlr.run import Run

__all__ = ["export"]


def export(
    run: RunFolder,
    to: Annotated[
        Literal["onnx", "hub"],
        typer.Option(help="onnx: one file. hub: a folder as the Hugging Face Hub has them, which RUN may name too."),
    ],
    out: Annotated[Path, typer.Option(help="The .onnx file, or the folder, to write.", show_default=False)],
    input: Annotated[  # noqa: A002
        Literal["normalised", "rgb"],
        typer.Option(
            "--input",
            help="What the ONNX file's `images` are. normalised: float32 (N, 3, S, S). rgb: uint8 (N, 3, H, W), "
            "0..255, channels first, of any size; the file resizes and normalises them as promptmlr does.",
        ),
    ] = "normalised",
    int8: Annotated[
        bool, typer.Option("--int8", help="ONNX: the image tower in 8 bits; what that costs is measured and printed.")
    ] = False,
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGES",
            help="With --int8: a folder or glob of typical images, so that ranges of activations are fixed in the file "
            "(static). (default: each call measures its own: dynamic)",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="ONNX: score file and run on labelled images, as `evaluate`.", show_default=False
        ),
    ] = None,
    split: Split = None,
    format: Format = None,  # noqa: A002
    images: ImageFolder = None,
    unlisted: Unlisted = None,
    delimiter: Delimiter = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an ONNX file that exists.")] = False,
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
) -> None:
    """Write a run as one ONNX file, checked against PyTorch, or as a folder for the Hugging Face Hub."""
    from promptmlr.run import load_run

    if to == "hub":
        _refuse_for_hub(input=input != "normalised", int8=int8, calibrate=calibrate, check=check)
        _to_hub(load_run(run), out)
        return
    from promptmlr.data import DataOptions
    from promptmlr.data.images import ImageFile, find_images
    from promptmlr.export.onnx_file import export_onnx

    if out.suffix.lower() != ".onnx":
        raise UserError(f"--out {out}: the name of an ONNX file ends in .onnx")
    if out.is_dir() or (out.exists() and not overwrite):
        raise UserError(f"{out} exists; name another file with --out, or replace it with --overwrite")
    if calibrate is not None and not int8:
        raise UserError("--calibrate is about --int8; add it, or leave --calibrate out")
    typical = [] if calibrate is None else [ImageFile(path) for path in find_images([calibrate])]
    loaded = load_run(run)
    options = DataOptions(unlisted=unlisted, delimiter=delimiter)
    labelled = None if check is None else read_data(check, split, "test", format, images, options)
    loaded.use_backbone(backbone, pretrained)
    note("tracing the image tower, then checking it in onnxruntime: seconds to minutes")
    made = export_onnx(loaded, out, inputs=input, int8=int8, calibration=typical)
    for line in made.lines():
        typer.echo(line)
    if labelled is not None:
        _check(loaded, made, labelled)


def _check(run: "Run", made: "OnnxFile", labelled: "LabelledImages") -> None:
    """Say how the file scores beside the run."""
    from promptmlr.evaluation import evaluate
    from promptmlr.export.checking import Agreement, predictions
    from promptmlr.export.onnx_file import said

    rows, columns = common_classes(run.class_names, labelled.class_names)
    with Terminal().progress("checking on images") as say:
        kept, found, bad = predictions(made.sessions, made.graph, labelled.images, say)
    for error in bad:
        note(f"unreadable, left out: {error}")
    names = [run.class_names[row] for row in rows]
    labels = labelled.labels[kept][:, columns]
    names_of = ["PyTorch", "ONNX float32", "ONNX 8 bits"]
    for name, probabilities in zip(names_of, found, strict=False):
        score = evaluate(probabilities[:, rows], labels, names, resamples=0).mean_ap
        line = f"{name}: mAP {100 * score:.2f} on {len(kept):,} images"
        if probabilities is not found[0]:
            line += f"; against PyTorch {said(Agreement.of(found[0], probabilities, run.thresholds))}"
        typer.echo(line)


def _to_hub(run: "Run", out: Path) -> None:
    from promptmlr.export.hub_folder import write_hub_folder

    path = write_hub_folder(run, out)
    note(f"written to {path}; read its README.md, then: promptmlr push {run.path} OWNER/NAME")


def _refuse_for_hub(**given: object) -> None:
    for option, value in given.items():
        if value:
            raise UserError(f"--{option} is about --to onnx; leave it out with --to hub")
