"""The kinds of side: a file each and a row of `SIDES`. A method is a pair of them, see `promptmlr.methods`."""

from promptmlr.sides.base import Side
from promptmlr.sides.beginning import Beginning
from promptmlr.sides.embedding import EmbeddingSide
from promptmlr.sides.linear import LinearSide
from promptmlr.sides.prompt import PromptSide

__all__ = ["SIDES", "Beginning", "EmbeddingSide", "LinearSide", "PromptSide", "Side"]

SIDES: dict[str, type[Side]] = {
    "prompt": PromptSide,
    "embedding": EmbeddingSide,
    "linear": LinearSide,
}
