"""Options that hold several things, between commas."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from promptmlr.errors import UserError

if TYPE_CHECKING:
    from promptmlr.labels import Observation

__all__ = ["counts", "fractions", "observations", "pair_of", "words"]


Part = TypeVar("Part")


def words(text: str) -> list[str]:
    """What commas separate, each once.

    Raises:
        UserError: there is nothing.
    """
    found = list(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))
    if not found:
        raise UserError(f"{text!r} is an empty list; separate its parts by commas")
    return found


def fractions(text: str, option: str = "--observed") -> list[float]:
    """The numbers of an option, each once.

    Raises:
        UserError: there is none, or something else.
    """
    found = []
    for word in words(text):
        try:
            found.append(float(word))
        except ValueError:
            raise UserError(f"{option}: {word!r} is no number; write for example 0.1,0.5") from None
    return list(dict.fromkeys(found))


def counts(text: str, option: str) -> list[int]:
    """The whole numbers of an option, each once.

    Raises:
        UserError: there is none, or something else.
    """
    for word in (found := words(text)):
        if not (word.isascii() and word.isdigit()):
            raise UserError(f"{option}: {word!r} is no whole number; write for example 150,400")
    return [int(word) for word in found]


def pair_of(found: Sequence[Part], option: str) -> tuple[Part, Part]:
    """The two parts of an option.

    Raises:
        UserError: there are more, or fewer.
    """
    if len(found) != 2:
        raise UserError(f"{option} compares two, and {len(found)} different ones are given; write two between commas")
    return found[0], found[1]


def observations(
    observed: str | None, labels: str | None, default: str = "1", option: str = "--observed"
) -> "list[Observation]":
    """What `--observed`, or an option like it, or `--labels` says of which labels are hidden, each once.

    Raises:
        UserError: both are given, or one is none.
    """
    from promptmlr.labels import Observation

    if observed is not None and labels is not None:
        raise UserError(f"{option} and --labels both say which labels are hidden; give one of them")
    option = option if labels is None else "--labels"
    if labels is not None:
        hidden = [f"{number} labels" for number in counts(labels, option)]
    else:
        hidden = words(default if observed is None else observed)
    found = []
    for word in hidden:
        try:
            found.append(Observation.parse(word))
        except UserError as error:
            raise UserError(f"{option}: {error}") from None
    return list(dict.fromkeys(found))
