"""What is said to the labelling queue and what it answers, as OpenAPI describes it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from promptmlr.web.labelling import Result
from promptmlr.web.modes import AT_ONCE
from promptmlr.web.pages import Answer, Mode

__all__ = ["Asking", "CellInfo", "GivenAnswers", "PageInfo", "Person", "QueueInfo", "Taken"]

Who = Annotated[
    str,
    Field(
        pattern=r"^[0-9A-Za-z-]{8,64}$",
        description="Who labels: any text of that kind, another one in each tab. Cells are handed out to it.",
    ),
]


class Person(BaseModel):
    """Who asks."""

    who: Who


class Asking(Person):
    """Who wants to be asked, and how."""

    mode: Mode = "grid"
    label_class: str | None = Field(
        default=None, validation_alias="class", max_length=300, description="Of the grid; null leaves it to the queue."
    )


class GivenAnswers(Person):
    """The answers to a page."""

    page: str = Field(description="Its id.", max_length=64)
    answers: list[Answer] = Field(description="To each of its cells, in their order.", max_length=AT_ONCE)


class CellInfo(BaseModel):
    """A cell that is asked about."""

    image: str = Field(description="The name of the file.")
    picture: str = Field(description="The id of its picture.")
    row: int | None = Field(description="Of the image in a label CSV, where the header is 1.")
    label_class: str = Field(serialization_alias="class")
    probability: float | None
    random: bool = Field(description="Drawn at random, and not chosen for what it teaches.")
    proposed: Answer = Field(description="The answer that is proposed; after an undo, the one that was given.")


class PageInfo(BaseModel):
    """Cells that are asked about together."""

    id: str = Field(description="Of the page, and of nothing else: a service that starts again asks under others.")
    mode: Mode
    cells: list[CellInfo]


class QueueInfo(BaseModel):
    """Where the labelling queue is."""

    state: Literal["ranking", "ready"]
    problem: str | None = Field(description="Why there is no page although there should be.")
    pages: list[PageInfo] = Field(description="The one to answer, and those after it. They are handed out to `who`.")
    answered: int
    at_random: int = Field(description="Of these, how many were drawn at random.")
    skipped: int
    filled: int = Field(description="Cells that others have filled.")
    left: int = Field(description="Cells that are still to be asked.")
    waiting: int = Field(description="Answers that the file has not got yet.")
    lost: int = Field(description="Answers that were in the file and are blank there again.")
    ranked_with: int = Field(description="Answers that the newest ranking has learned from.")
    undoable: bool


class Taken(BaseModel):
    """What became of answers."""

    result: Result
    message: str
    queue: QueueInfo
