"""`promptmlr inspect`: what a data set holds, before anything is trained on it."""

from dataclasses import replace
from pathlib import Path

from promptmlr.cli.options import Data, Reading, Report, Tower
from promptmlr.cli.outcome import check_page, publish
from promptmlr.cli.progress import Terminal, note
from promptmlr.options import DataOptions, TowerOptions

__all__ = ["inspect"]


def inspect(
    data: Data,
    /,
    *,
    labels_only: bool = False,
    out: Path | None = None,
    report: Report = None,
    tower: Tower = TowerOptions(),
    reading: Reading = DataOptions(),
) -> None:
    """Count labels; find broken and duplicate images, and class names that CLIP is likely to misread.

    It names the kind of labels (complete, partial, positive-only, single positive), tests whether labels are missing at
    random (by class, image, other labels and split), and prints the `promptmlr train` command that follows.

    It shows pairs of classes that occur together, or avoid each other, more than chance explains. Duplicates are images
    with the same bytes, with the same pixels, or similar by a perceptual hash; duplicates across splits or with
    contradicting labels come first. With --backbone it also compares class names by the cosine of their texts.

    Args:
        labels_only: Do not open the images: unreadable ones and duplicates are not reported.
        out: Folder for inspection.md, classes.csv, pairs.csv, missingness.csv, names.csv, duplicates.csv …
    """
    from promptmlr.advice.inspection.inspecting import inspect_data
    from promptmlr.data import load_parts
    from promptmlr.opening import open_tower

    check_page(out, report)
    parts = load_parts(data, replace(reading, skip_unreadable=True).or_else({"coco_images": "all"}))
    for part in parts.values():
        for line in part.notes[1:]:
            note(line)
    first = next(iter(parts.values()))
    given = first.features is not None and bool(first.features.text)
    seen = open_tower(data, tower, Terminal(), first) if tower.backbone or given else None
    clip = (("--backbone", tower.backbone), ("--pretrained", tower.pretrained))
    options = [*reading.words(), *(word for name, value in clip if value for word in (name, value))]
    found = inspect_data(
        data,
        parts,
        backbone=seen,
        read_images=not labels_only,
        workers=tower.workers,
        options=options,
        reporter=Terminal(),
    )
    publish(found, out, report)
