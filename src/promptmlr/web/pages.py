"""What is asked at once: a page of cells, each with the answer that is proposed."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Answer", "Cell", "Mode", "Page"]

Mode = Literal["grid", "image", "single"]
"""One class in many images; one image with many classes; one cell."""

Answer = Literal["present", "absent", "skip"]


@dataclass(frozen=True)
class Cell:
    """A cell that is asked about.

    Attributes:
        row: of the image.
        column: of the class.
        probability: P(present) as it was known when the page was made; None where nobody says.
        random: whether it was drawn at random, so that it stands for others.
        proposed: what is answered unless a person says otherwise.
    """

    row: int
    column: int
    probability: float | None
    random: bool
    proposed: Answer

    @property
    def place(self) -> tuple[int, int]:
        """Row and column."""
        return self.row, self.column


@dataclass(frozen=True)
class Page:
    """Cells that are asked about together.

    Attributes:
        id: of this page and of nothing else; a service that starts again asks under others.
        mode: how they belong together.
        cells: in the order in which they are shown.
    """

    id: str
    mode: Mode
    cells: tuple[Cell, ...]
