"""What a person did or met that the program cannot go on with: one line, no traceback."""

import difflib
from collections.abc import Iterable

__all__ = ["EnvironmentFault", "UserError", "nearest"]


class UserError(Exception):
    """A mistake its user can mend. The message is one line: what, where, how to fix. Exit code 2."""


class EnvironmentFault(Exception):
    """The machine could not do it (disk full, network away, memory). One line, exit code 1."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word: the nearest known one, or all of them."""
    by_lower = {name.lower(): name for name in known}
    match = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[match[0]]!r}?" if match else f"known: {', '.join(by_lower.values())}"
