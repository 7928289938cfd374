"""Text towers: sentences and embedded prompts → text features (N, D).

A file each for the kinds; a new one is a file with a `KIND` and a line of `_MODULES`, before the kinds that fit more.
"""

from importlib import import_module
from typing import Any

from promptmlr.backbone.text.tokens import Tokens
from promptmlr.backbone.text.tower import TextTower

__all__ = ["TEXT_KINDS", "TextTower", "Tokens", "text_tower"]

_MODULES = (
    "causal",
    "whole",
)

TEXT_KINDS: tuple[type[TextTower], ...] = tuple(import_module(f"{__name__}.{name}").KIND for name in _MODULES)
"""Every kind of text tower; the first that fits is taken."""


def text_tower(model: Any, tokenizer: Any) -> TextTower:
    """The text half of an open_clip model.

    Args:
        model: with frozen weights.
        tokenizer: open_clip's.

    Raises:
        UserError: a tokenizer that makes rows in a way of its own.
    """
    tokens = Tokens.of(tokenizer, int(getattr(model, "text", model).context_length))
    kind = next(kind for kind in TEXT_KINDS if kind.fits(model, tokens))
    return kind(model, tokens)
