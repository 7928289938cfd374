"""What the labelling queue needs of the place where answers are kept: the label file itself, or a journal beside it."""

from collections.abc import Sequence
from typing import Literal, Protocol

from promptmlr.data.journal import Entry
from promptmlr.labels import ABSENT, PRESENT

__all__ = ["CODES", "Keeper", "Kept"]

Kept = Literal["written", "waiting", "taken"]
"""An answer is in its place, or in the journal until that can be written; or others have answered before."""

CODES = {"1": PRESENT, "0": ABSENT}


class Keeper(Protocol):
    """Where answers are kept. Not safe to use from several threads at once.

    Attributes:
        name: of the file, without its folder, which is nobody's business on a page.
    """

    name: str

    def known(self) -> Sequence[Entry]:
        """Answers of before that the data, as they were read, do not have."""

    def code(self, image: str, class_name: str) -> int | None:
        """1 present, 0 absent, -1 unknown, as the place says now; None where it has no such cell, or one that is odd.

        Raises:
            UserError: the place cannot be read now.
        """

    def row(self, image: str) -> int | None:
        """The number of an image's row, where the header is 1; None where there are no rows."""

    def put(self, entries: Sequence[Entry]) -> list[Kept]:
        """Keep answers, all of them or none; what became of each.

        Raises:
            EnvironmentFault: not even the journal can be written, and nothing was taken.
        """

    def take_back(self, entries: Sequence[Entry]) -> list[bool]:
        """Forget answers; False for each that others have changed meanwhile.

        Raises:
            UserError: the place cannot be read now, and nothing was taken back.
            EnvironmentFault: it cannot be written; the same.
        """

    @property
    def waiting(self) -> int:
        """Answers that are not in their place yet."""

    def lost(self) -> int:
        """Answers that were in their place, and are there no longer.

        Raises:
            UserError: the place cannot be read now.
        """

    def ending(self) -> str | None:
        """What to say of the answers at the end; None where there are none."""

    def write_again(self) -> tuple[int, int]:
        """Put what waits, and what was lost, into its place: how many there were, and how many still wait.

        Raises:
            UserError: the place cannot be read now.
            EnvironmentFault: the journal cannot be written.
        """
