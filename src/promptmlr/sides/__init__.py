"""The three kinds of side. A method is a pair of them: see `promptmlr.methods`."""

from promptmlr.sides.base import Side
from promptmlr.sides.embedding import EmbeddingSide
from promptmlr.sides.linear import LinearSide
from promptmlr.sides.prompt import PromptSide

__all__ = ["EmbeddingSide", "LinearSide", "PromptSide", "Side"]
