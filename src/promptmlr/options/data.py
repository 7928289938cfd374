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
    """How labelled images are read. None means: as the data say, or as the released code does.

    Attributes:
        format: Format of DATA, if it cannot be recognised: csv, coco, … (an unknown name prints the list of all).
        images: Folder to which image paths are relative. (default: the folder of the file)
        split: Which split to use, by the name it has in the data (train, val2014, trainval …).
        unlisted: For formats that list the classes of an image: what the classes that are not listed are. unknown:
            nobody checked; absent: somebody checked, and they are not there.
        delimiter: Character between names in a list CSV. (default: detected if it is clear)
        difficult: VOC: what a class is if all its objects in an image are marked difficult. skip: these objects are
            ignored, so it is absent; unknown: it is unknown. (default: skip, as in the released code)
        coco_images: COCO: use only images with annotations, or all. (default: annotated, as in the released code; all
            in inspect and convert)
        crowd: COCO: what a class is if an image shows it only as a crowd. (default: present, as in the released code)
        annotated_categories: COCO: the categories that each image was annotated for; all others are unknown in it.
            Either a field of the images that lists category ids, or a .json file that maps image ids to category ids.
            (default: all categories)
        machine_labels: Open Images: a label that no person verified counts as present from this confidence on.
            (default: it never counts)
        skip_unreadable: Leave out images that are missing or cannot be read, instead of stopping.
        scenes_train: How many scenes to draw for training.
        scenes_test: How many scenes to draw for testing.
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
