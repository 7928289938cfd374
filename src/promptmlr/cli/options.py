"""Options that several verbs share, declared once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "BackboneName",
    "BatchSize",
    "CocoImages",
    "Crowd",
    "Data",
    "Device",
    "Difficult",
    "Format",
    "ImageFolder",
    "PrecisionOption",
    "Pretrained",
    "RunFolder",
    "SkipUnreadable",
    "Split",
    "Workers",
]

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A .csv file, a VOC devkit or COCO folder, or the word 'scenes' (the drawn world). "
        "Write ./scenes for a folder of that name.",
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `promptmlr train`.")]
Format = Annotated[
    Literal["csv", "voc", "coco", "scenes"] | None,
    typer.Option("--format", help="When the detection is wrong.", show_default=False),
]
ImageFolder = Annotated[
    Path | None,
    typer.Option(
        "--images", help="Folder that the CSV's image paths start from. [default: the CSV's own]", show_default=False
    ),
]
Split = Annotated[
    str | None,
    typer.Option(help="Which part of the data, by its own name (train, val2014, trainval …).", show_default=False),
]
Difficult = Annotated[
    Literal["skip", "unknown"],
    typer.Option(help="VOC classes shown by difficult objects alone: skip them (as released: absent) or unknown."),
]
CocoImages = Annotated[
    Literal["annotated", "all"],
    typer.Option("--coco-images", help="Which COCO images count: annotated (as released) or all."),
]
Crowd = Annotated[
    Literal["present", "unknown", "absent"],
    typer.Option(help="COCO classes shown by crowds alone; as released: present."),
]
BackboneName = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help="A name of `promptmlr backbones`, 'scenes', or a checkpoint file in OpenAI's layout.",
        show_default=False,
    ),
]
Pretrained = Annotated[
    str | None, typer.Option(help="open_clip's tag of the weights, or a file. [default: openai]", show_default=False)
]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(
        "--precision",
        help="Of the frozen towers. auto: the image tower in float32, the text tower in bfloat16 where that is fast; "
        "bfloat16 for both is several times faster with regions made fresh.",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …")]
Workers = Annotated[int, typer.Option(min=0, help="Threads that decode images.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images through the image tower at once.")]
SkipUnreadable = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave unreadable images out instead of refusing them.")
]
