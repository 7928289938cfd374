"""What the service answers, as OpenAPI describes it."""

from typing import Literal

from pydantic import BaseModel, Field

__all__ = [
    "AnswerGiven",
    "AnswerTaken",
    "Health",
    "LimitsInfo",
    "MapsAnswer",
    "PredictAnswer",
    "Prediction",
    "Problem",
    "QuestionInfo",
    "QueueInfo",
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
    labelling: bool = Field(description="Whether there is a labelling queue.")


class Health(BaseModel):
    """Whether it can be used."""

    status: Literal["ready", "loading"]
    version: str
    runs: list[str]


class QuestionInfo(BaseModel):
    """A cell that is asked about."""

    id: str = Field(description="Of the question, and of nothing else: a service that starts again asks under others.")
    image: str = Field(description="The name of the file.")
    row: int = Field(description="Of the image in the label file, where the header is 1.")
    label_class: str = Field(serialization_alias="class")
    probability: float | None


class QueueInfo(BaseModel):
    """Where the labelling queue is."""

    state: Literal["ranking", "ready"]
    problem: str | None = Field(description="Why there is no question although there should be.")
    question: QuestionInfo | None
    following: str | None = Field(description="The id of the question after this one.")
    total: int
    answered: int
    skipped: int
    filled: int = Field(description="Suggested cells that others have filled.")
    waiting: int = Field(description="Answers that the file has not got yet.")
    lost: int = Field(description="Answers that were in the file and are blank there again.")
    undoable: bool


class AnswerGiven(BaseModel):
    """An answer to a question."""

    question: str = Field(description="Its id.")
    answer: Literal["present", "absent", "skip"]


class AnswerTaken(BaseModel):
    """What became of it."""

    result: Literal["written", "waiting", "taken", "skipped", "undone", "nothing"]
    message: str
    queue: QueueInfo
