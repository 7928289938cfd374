"""`config.json` of a run folder: method, recipe, classes, backbone, data, mask and seeds."""

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from promptmlr.backbone.preprocessing import MAX_CROPS, MAX_SIDE
from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.features import Storage
from promptmlr.labels import UNKNOWN, Keep, Labels, mask_hash
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Weighting

__all__ = [
    "BackboneRecord",
    "DataRecord",
    "RunConfig",
    "Selection",
    "first_difference",
    "images_sha256",
    "labels_sha256",
    "versions",
]

Selection = Literal["last", "val", "test"]

WRITTEN_LATER = ("activation", "text_activation", "reading")
"""Settings that configs of versions before lack."""

Dtype = Literal["float32", "bfloat16", "float16", "float64"]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class DataRecord(BaseModel):
    """What a run was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    images: int
    images_sha256: str  # over the sorted image ids
    labels_sha256: str  # of what training saw of them
    observed: float
    protocol: str | None = None  # that hid the other labels (`labels.Observation`); None: a fraction, or a mask file
    mask_sha256: str
    known_labels: int
    features_sha256: str | None = None  # where features were given; None: images
    reading: dict[str, str | float] = {}  # how labels were read (`DataOptions.recorded`)

    @classmethod
    def of(cls, labelled: LabelledImages, labels: Labels, keep: Keep, observed: float, protocol: str | None) -> Self:
        """Of N images.

        Args:
            labelled: them, and all their labels.
            labels: (N, C) int8, what `keep` leaves of these.
            keep: (N, C) bool.
            observed: the fraction it was drawn with.
            protocol: the name of another way in which it was drawn.
        """
        return cls(
            source=labelled.source,
            images=len(labels),
            images_sha256=images_sha256(labelled.image_ids),
            labels_sha256=labels_sha256(labels),
            observed=observed,
            protocol=protocol,
            mask_sha256=mask_hash(keep),
            known_labels=int((labels != UNKNOWN).sum()),
            features_sha256=None if labelled.features is None else labelled.features.sha256,
            reading=dict(labelled.reading),
        )


class PreprocessingRecord(BaseModel):
    """`backbone.preprocessing` of `config.json`, as `Preprocessing.as_dict` gives it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    mean: tuple[Finite, Finite, Finite]
    std: tuple[Positive, Positive, Positive]
    interpolation: str
    resize: str
    crops: Annotated[int, Field(ge=0, le=MAX_CROPS)] = 0


class BackboneRecord(BaseModel):
    """`backbone` of `config.json`, as `Backbone.identity` gives it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    pretrained: str | None
    weights_sha256: str
    dtype: Dtype
    text_dtype: Dtype
    activation: str | None = None  # of the image tower; None: features were given, or it was not written down
    text_activation: str | None = None
    regions: str = "value"  # how they are made (`Backbone.way`); means nothing where features were given
    feature_width: Annotated[int, Field(ge=1)]
    preprocessing: PreprocessingRecord | None  # None: features were given, nothing is seen through a tower

    @property
    def pixels(self) -> PreprocessingRecord:
        """How images reach the tower.

        Raises:
            UserError: features were given, and there is none.
        """
        if self.preprocessing is None:
            raise UserError(
                "this run was trained on features and sees no images: give it features, as in "
                "`promptmlr predict RUN features.npz`"
            )
        return self.preprocessing

    def __str__(self) -> str:
        """As one names it to load it."""
        return " ".join(part for part in (self.name, self.pretrained) if part)


class RunConfig(BaseModel):
    """`config.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    method: str
    class_names: tuple[str, ...]
    weighting: Weighting
    recipe: Recipe
    backbone: BackboneRecord
    data: DataRecord
    seed: int
    order_seed: int
    storage: Storage | None = None  # of the regions it was trained on; None: as they left the tower, not stored
    sampling: str | None = None  # by shard, and how these lay; None: all images shuffled
    select: Selection
    calibrate: bool = False  # whether probabilities were fitted on observed labels
    share: float | tuple[float, ...] | None = None  # how often classes are present, where a person said it
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    versions: dict[str, str]


def images_sha256(image_ids: Sequence[str]) -> str:
    """Tells whether two data sets hold the same images, by their ids."""
    return hashlib.sha256("\n".join(sorted(image_ids)).encode()).hexdigest()


def labels_sha256(labels: Labels) -> str:
    """Tells whether two data sets hold the same labels, in the order of their images and classes."""
    return hashlib.sha256(labels.tobytes()).hexdigest()


def versions() -> dict[str, str]:
    """Versions that a result may depend on."""
    packages = ("promptmlr", "torch", "torchvision", "open_clip_torch", "numpy", "pillow")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def first_difference(saved: BaseModel, wanted: BaseModel, where: str = "") -> str | None:
    """The first setting in which two configs differ, as "recipe.epochs: 5, now 6"; versions may differ.

    What versions before did not write down is none: hashes of weights and labels stand beside it.
    """
    for name in type(wanted).model_fields:
        one, other = getattr(saved, name), getattr(wanted, name)
        if one == other or name == "versions" or (name in WRITTEN_LATER and not one):
            continue
        if not (isinstance(one, BaseModel) and isinstance(other, BaseModel)):
            return f"{where}{name}: {one!s:.80}, now {other!s:.80}"
        if difference := first_difference(one, other, f"{where}{name}."):
            return difference
    return None
