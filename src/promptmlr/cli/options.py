"""Headings for the options of `promptmlr.options`, and the few that stand alone in several verbs."""

import re
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter
from cyclopts.types import NonNegativeInt, PositiveInt

from promptmlr.cli.help import LATER
from promptmlr.options import (
    ArchiveOptions,
    BackboneOptions,
    CacheOptions,
    DataOptions,
    HidingOptions,
    MaskOptions,
    NewTowerOptions,
    PromptOptions,
    RecipeOptions,
    TextOptions,
    TowerOptions,
)

__all__ = [
    "RUNNING",
    "TRAINING",
    "Archive",
    "Backbone",
    "Bare",
    "Batch",
    "Benchmark",
    "Cache",
    "Data",
    "Hiding",
    "Mask",
    "NewTower",
    "NonNegativeInt",
    "Overwrite",
    "PositiveInt",
    "Precision",
    "Prompts",
    "Reading",
    "Recipe",
    "RegionArchive",
    "Report",
    "RunFolder",
    "Share",
    "Texts",
    "Tower",
    "Unnamed",
]


def _each(group: Group, *but: str) -> Parameter:
    """Fields of a dataclass, each an option of its own name; all but these, and what draws scenes in Python."""
    left_out = "|".join(("scenes_train", "scenes_test", "trained", "inherited", *but))
    return Parameter(name="*", group=group, parse=re.compile(f"^(?!({left_out})$)"))


_GROUPS = [Group(heading, sort_key=place) for place, heading in enumerate(LATER, 1)]
_BACKBONE, _TRAINING, _LABELS, _READING, _REGIONS, _TEXTS, _, _ARCHIVE = map(_each, _GROUPS)
TRAINING, RUNNING = Parameter(group=_GROUPS[1]), Parameter(group=_GROUPS[6])
"""Headings for a verb's own options."""

Backbone = Annotated[BackboneOptions, _BACKBONE]
Tower = Annotated[TowerOptions, _BACKBONE]
NewTower = Annotated[NewTowerOptions, _BACKBONE]
Recipe = Annotated[RecipeOptions, _TRAINING]
Prompts = Annotated[PromptOptions, _TRAINING]
Hiding = Annotated[HidingOptions, _LABELS]
Mask = Annotated[MaskOptions, _LABELS]
Reading = Annotated[DataOptions, _READING]
_TABLES = (
    "image_column",
    "label_column",
    "value_column",
    "ignore",
    "classes",
    "codes",
    "sheet",
    "header",
    "encoding",
    "several",
    "class_after",
    "transposed",
    "without_totals",
)
Unnamed = Annotated[DataOptions, _each(_GROUPS[3], "classes")]
"""For a verb with a --classes of its own."""
_OF_OTHERS = [name for name in _TABLES if name != "classes"]
Benchmark = Annotated[DataOptions, _each(_GROUPS[3], "format", "split", "unlisted", "delimiter", *_OF_OTHERS)]
Bare = Annotated[NewTowerOptions, _each(_GROUPS[0], "pretrained", "workers", "regions", "crops", "dtype")]
Cache = Annotated[CacheOptions, _REGIONS]
Archive = Annotated[ArchiveOptions, _ARCHIVE]
RegionArchive = Annotated[ArchiveOptions, _each(_GROUPS[7], "to", "labels", "image_column")]
Texts = Annotated[TextOptions, _TEXTS]

Data = Annotated[
    str,
    Parameter(
        help="Labelled images: a table (.csv, .tsv, .xlsx, .parquet); .json (COCO, Label Studio, FiftyOne); .xml "
        "(CVAT); data.yaml (YOLO); a folder (VOC, COCO, Hugging Face, text files); features (.npz, .parquet); "
        "'scenes', drawn by promptmlr (scenes:WORLD:NUMBER; ./scenes is a folder of yours); or cutouts:FOLDER.",
    ),
]
RunFolder = Annotated[Path, Parameter(help="A run folder, or hf://owner/name or hf://owner/name@revision.")]
Report = Annotated[Path | None, Parameter(help="Also write the results as a page (.html).")]
Share = Annotated[
    str | None,
    Parameter(
        help="In what share of the images classes are present, if you know it: a number for all classes, or a CSV with "
        "the columns class and share. Needed if your labels only say what is present."
    ),
]
Overwrite = Annotated[bool, Parameter(help="Replace --out if it exists.")]
Precision = Annotated[
    float | None,
    Parameter(help="Choose thresholds so that about this share of the labels is right: 0.9 means nine of ten."),
]
Batch = Annotated[
    PositiveInt | None,
    Parameter(
        name="--batch-size",
        group=_GROUPS[0],
        help="How many images to encode at once. (default: depends on image size and device)",
    ),
]
