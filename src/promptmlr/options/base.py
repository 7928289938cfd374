"""What all options have in common: they cannot be changed, and refuse what they cannot mean."""

from dataclasses import dataclass, fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from promptmlr.errors import UserError, nearest

__all__ = ["FROM_ZERO", "MAY_BE_EMPTY", "Options", "option"]

FROM_ZERO = {"least": 0}
"""Metadata of a field whose numbers begin at 0 instead of 1."""
MAY_BE_EMPTY = {"may_be_empty": True}
"""Metadata of a field for which no text at all means something."""


@dataclass(frozen=True)
class Options:
    """A group of options, said once: for the command line, for Python, and for what a run records.

    Raises:
        UserError: on construction, for a choice that is none, an empty text, or a whole number that is too small.
    """

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            value, least = getattr(self, field.name), field.metadata.get("least", 1)
            if value == "" and not field.metadata.get("may_be_empty"):
                raise UserError(f"{field.name} is empty; give it a value, or leave it out")
            if isinstance(value, int) and not isinstance(value, bool) and value < least:
                raise UserError(f"{field.name} is {value}; give a whole number from {least}")
            choices = _choices(hints[field.name])
            if isinstance(value, str) and choices and value not in choices:
                raise UserError(f"unknown choice {value!r} for {field.name}; {nearest(value, choices)}")


def option(name: str) -> str:
    """A field as the command line calls it."""
    return "--" + name.replace("_", "-")


def _choices(hint: Any) -> tuple[str, ...]:
    """The words that a type allows; none where it allows any."""
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if str in members:
        return ()
    return tuple(word for one in members if get_origin(one) is Literal for word in get_args(one))
