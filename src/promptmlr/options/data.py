"""How labelled images are read: the choices that a data format leaves open."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from promptmlr.options.base import Options, option

__all__ = ["DataOptions"]

RECORDED = (
    "format",
    "unlisted",
    "delimiter",
    "difficult",
    "coco_images",
    "crowd",
    "annotated_categories",
    "machine_labels",
)
"""What labels mean, which a run keeps; where files are and which are read is another matter in every data set."""


@dataclass(frozen=True)
class DataOptions(Options):
    """How labelled images are read. None leaves the choice to the data, or to what the released code does.

    Attributes:
        format: The format of DATA, where its name and content do not tell: csv, coco, … (any other word lists all).
        images: Folder that image paths start from. (default: that of the file)
        split: Which part of the data, by its own name (train, val2014, trainval …).
        unlisted: In formats that list the classes of an image: what all other classes are. unknown: nobody looked;
            absent: they are known not to be there.
        delimiter: What stands between names in a list CSV. (default: found where it is clear)
        difficult: VOC: what to do with a class all of whose objects in an image are marked difficult: skip them, so
            that it counts as absent, or call it unknown. (default: skip, as released)
        coco_images: COCO: use the images that have annotations, or all. (default: annotated, as released; all in
            inspect and convert)
        crowd: COCO: what a class is that an image shows only as a crowd. (default: present, as released)
        annotated_categories: COCO: which categories each image was annotated for, so that others are unknown in it: a
            field of its images that lists their ids, or a .json file of image id → ids. (default: all)
        machine_labels: Open Images: from which confidence on a label that no person verified counts as present.
            (default: it does not count)
        skip_unreadable: Leave out images that are missing or cannot be read, instead of refusing the data.
        scenes_train: How many scenes are drawn to train on.
        scenes_test: How many scenes are drawn to test on.
    """

    format: str | None = None
    images: Path | None = None
    split: str | None = None
    unlisted: Literal["unknown", "absent"] | None = None
    delimiter: str | None = None
    difficult: Literal["skip", "unknown"] | None = None
    coco_images: Literal["annotated", "all"] | None = None
    crowd: Literal["present", "unknown", "absent"] | None = None
    annotated_categories: str | None = None
    machine_labels: float | None = None
    skip_unreadable: bool = False
    scenes_train: int = 2000
    scenes_test: int = 1000

    def or_else(self, defaults: Mapping[str, Any]) -> Self:
        """The same, and `defaults` where nothing is said of what labels mean."""
        unsaid = [name for name in RECORDED if getattr(self, name) is None and name in defaults]
        return replace(self, **{name: defaults[name] for name in unsaid})

    def recorded(self) -> dict[str, str | float]:
        """What was said of the meaning of labels, for the record of a run."""
        return {name: value for name in RECORDED if (value := getattr(self, name)) is not None}

    def words(self) -> list[str]:
        """What was said of more than a split, as the command line writes it."""
        names = ("format", "images", *RECORDED[1:], "skip_unreadable")
        given = [(option(name), value) for name in names if (value := getattr(self, name)) not in (None, False)]
        return [word for name, value in given for word in ([name] if value is True else [name, str(value)])]
