"""What the service answers, as OpenAPI describes it."""

from typing import Literal

from pydantic import BaseModel, Field

__all__ = [
    "Health",
    "LimitsInfo",
    "MapsAnswer",
    "PredictAnswer",
    "Prediction",
    "Problem",
    "RunInfo",
    "ServiceInfo",
    "SideMap",
]


class Problem(BaseModel):
    """Every refusal."""

    error: str = Field(description="One line: what is wrong and, where that is known, what to do.")


class Prediction(BaseModel):
    """What a run says of an image."""

    name: str
    width: int | None = Field(default=None, description="Pixels, upright.")
    height: int | None = None
    labels: list[str] = Field(default=[], description="Classes above their thresholds, the most probable first.")
    probabilities: dict[str, float] = Field(default={}, description="P(present) by class, calibrated where the run is.")
    error: str | None = Field(default=None, description="Why this image could not be read; the others are answered.")


class PredictAnswer(BaseModel):
    """Images in the order of the request."""

    run: str
    images: list[Prediction]


class SideMap(BaseModel):
    """The similarity map of one side of a class."""

    grid: list[list[float]] = Field(description="Rows of a square grid that is stretched over the whole image.")
    scale: str = Field(description="What the numbers are.")
    low: float = Field(description="The least number of the image's maps on this scale, of all classes.")
    high: float = Field(description="The greatest.")


class MapsAnswer(BaseModel):
    """Both maps of a class over an image."""

    run: str
    label_class: str = Field(serialization_alias="class")
    probability: float
    presence: SideMap
    absence: SideMap


class RunInfo(BaseModel):
    """A run."""

    name: str
    method: str
    backbone: str
    calibrated: bool = Field(description="Whether probabilities were fitted on held-out labels.")
    class_names: list[str]
    thresholds: list[float] = Field(description="A class is a label where its probability is greater.")


class LimitsInfo(BaseModel):
    """What a request may cost."""

    max_bytes: int
    max_pixels: int
    max_images: int
    timeout: float


class ServiceInfo(BaseModel):
    """What there is."""

    version: str
    runs: list[RunInfo]
    limits: LimitsInfo
    labelling: list[str] | None = Field(description="The classes of the labelling queue; null where there is none.")


class Health(BaseModel):
    """Whether it can be used."""

    status: Literal["ready", "loading"]
    version: str
    runs: list[str]
