"""The choices a data format leaves open; the defaults are those of the released code, or none where none is safe."""

from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

from promptmlr.errors import UserError, nearest

__all__ = ["Benchmark", "DataOptions", "Purpose"]

Purpose = Literal["train", "test"]
Benchmark = Literal["voc2007", "coco2014"]  # the paper's data sets


@dataclass(frozen=True)
class DataOptions:
    """How to read what the formats leave open.

    Attributes:
        difficult: VOC, a class all of whose objects in an image are marked difficult: "skip" them, so that it is
            absent, or make it "unknown".
        coco_images: COCO, the "annotated" images alone, or "all" of them.
        crowd: COCO, a class of which an image shows only crowds: "present", "unknown" or "absent".
        unlisted: formats that list what is present: whether all else is "unknown" or "absent"; None leaves it open,
            and a format that does not say is refused.
        delimiter: list CSV, what stands between two names in a cell; None finds it where it is clear.
        missing_images: "refuse" data whose image files are not all there, or "keep" them, for inspection.
        scenes_train: how many scenes to draw for training.
        scenes_test: how many scenes to draw for testing.

    Raises:
        UserError: on construction, for a value that is none of these.
    """

    difficult: Literal["skip", "unknown"] = "skip"
    coco_images: Literal["annotated", "all"] = "annotated"
    crowd: Literal["present", "unknown", "absent"] = "present"
    unlisted: Literal["unknown", "absent", None] = None
    delimiter: str | None = None
    missing_images: Literal["refuse", "keep"] = "refuse"
    scenes_train: int = 2000
    scenes_test: int = 1000

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if name == "delimiter":
                if value == "":
                    raise UserError("the delimiter is empty; give what stands between two names, such as '|'")
            elif kind is int and value < 1:
                raise UserError(f"{name} is {value}; draw at least one scene")
            elif kind is not int and value not in get_args(kind):
                known = [choice for choice in get_args(kind) if choice is not None]
                raise UserError(f"unknown choice {value!r} for {name}; {nearest(str(value), known)}")
