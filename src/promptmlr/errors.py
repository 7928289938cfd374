"""Errors that end the program with a one-line message and no traceback."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ["EnvironmentFault", "UnreadableImage", "UserError", "first_names", "nearest", "of_extra", "told"]

SHOWN = 10  # names of a list


class UserError(Exception):
    """A mistake that the user can fix. The message is one line: what, where, how to fix. Exit code 2."""


class UnreadableImage(UserError):
    """An image file that is missing, is no image, is damaged, or has too many pixels."""


class EnvironmentFault(Exception):
    """A failure of the machine (disk full, no network, no memory). One line, exit code 1."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word: the nearest known one, or the first of them."""
    by_lower = {name.lower(): name for name in known}
    match = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[match[0]]!r}?" if match else f"known: {first_names(list(by_lower.values()))}"


def first_names(names: Sequence[str], most: int = SHOWN) -> str:
    """The first names of a list and how many more there are, for one line."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def told(problems: Sequence[str]) -> str:
    """The first of many problems and how many more there are, for one line."""
    more = len(problems) - SHOWN
    return "; ".join(problems[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


@contextmanager
def of_extra(extra: str) -> Iterator[None]:
    """Around imports of packages that only an extra of promptmlr brings.

    Raises:
        UserError: one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; get it with: pip install 'promptmlr[{extra}]'") from error
