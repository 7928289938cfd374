"""The inputs of a new side of any kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

if TYPE_CHECKING:
    from promptmlr.sides.prompt import TextEncoder

__all__ = ["Beginning", "LinearStart", "Offset"]

Offset = Literal["none", "zero", "random"]
LinearStart = Literal["random", "zero"]


@dataclass(frozen=True)
class Beginning:
    """The settings of a side's start from backbone and recipe; each kind of side uses some of them.

    Attributes:
        name: "presence" or "absence", so that two sides of one seed start differently.
        class_names: C names.
        feature_width: D.
        seed: of every random value.
        text: returns the frozen text tower; raises `UserError` without one.
        features: returns the (C, D) text features that an embedding starts from, or None for a random start.
        context_length: M, of a prompt that starts from random values.
        context_words: words that a prompt starts from instead.
        class_specific: a prompt's contexts per class instead of one for all.
        offset: the term that a prompt adds to its text features.
        linear_start: start of linear layers.
    """

    name: str
    class_names: tuple[str, ...]
    feature_width: int
    seed: int
    text: Callable[[], "TextEncoder"]
    features: Callable[[], Tensor | None]
    context_length: int = 16
    context_words: str | None = None
    class_specific: bool = True
    offset: Offset = "none"
    linear_start: LinearStart = "random"
