"""The prompt side: M learned context vectors + a class name + ".", through a frozen text tower (CoOp's prompts)."""

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from promptmlr.errors import UserError
from promptmlr.functional import cosine_map
from promptmlr.sides.base import Side, seeded_generator
from promptmlr.sides.embedding import EmbeddingSide

__all__ = ["Offset", "PromptSide", "TextEncoder"]

Offset = Literal["none", "zero", "random"]

CONTEXT_STD = 0.02  # of random contexts; the released MLCPromptLearner uses the same


class TextEncoder(Protocol):
    """The frozen text tower, as a prompt sees it. W is its width, D the width of the shared feature space."""

    width: int
    context_length: int

    @property
    def feature_width(self) -> int:
        """D."""

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without start and end token."""

    def embed(self, tokens: Sequence[int]) -> Tensor:
        """(L, W) embeddings of tokens, start and end token added around them."""

    def encode(self, embeddings: Tensor, ends: Tensor) -> Tensor:
        """(N, L, W) embeddings and the (N,) positions of their end tokens → (N, D) text features."""


class PromptSide(Side):
    """A prompt per class: [start] context₁ … context_M name "." [end].

    The text tower is held, not owned: it is no submodule, so `state_dict()` holds the learned tensors alone.

    Args:
        text: the frozen text tower.
        class_names: C names, as they are to be read by the tower.
        context: (M, W) shared by all classes or (C, M, W) class-specific.
        offset: (C, D) learned term added to the text features (released code, not in the paper), or None.

    Raises:
        UserError: a name does not fit behind M context tokens.
    """

    def __init__(
        self, text: TextEncoder, class_names: Sequence[str], context: Tensor, offset: Tensor | None = None
    ) -> None:
        super().__init__()
        self._text = text
        self.context = nn.Parameter(context.detach().clone())
        self.offset = None if offset is None else nn.Parameter(offset.detach().clone())
        names, ends = _embed_names(text, class_names, context.shape[-2])
        self.register_buffer("_names", names, persistent=False)  # (C, 1 + L', W): start token, name, ".", end
        self.register_buffer("_ends", ends, persistent=False)

    @classmethod
    def create(
        cls,
        text: TextEncoder,
        class_names: Sequence[str],
        *,
        context_length: int = 16,
        context_words: str | None = None,
        class_specific: bool = True,
        offset: Offset = "none",
        seed: int = 0,
        name: str = "prompt",
    ) -> "PromptSide":
        """A prompt side with contexts from random values (standard deviation 0.02) or from words.

        Args:
            text: the frozen text tower.
            class_names: C names.
            context_length: M, ignored when `context_words` are given.
            context_words: words to start from, for example "a photo of a"; M is then their number of tokens.
            class_specific: one context per class instead of one for all.
            offset: "none" as in the paper; "zero" or "random" (standard normal) adds the released code's (C, D) term.
            seed: of every random value.
            name: of this side, so that two sides of one seed start differently.
        """
        if context_words is not None:
            context = text.embed(text.tokenize(context_words))[1:-1].float()
            if not len(context):
                raise UserError("context_words are empty; name some words, or leave them out for random contexts")
            if class_specific:
                context = context.expand(len(class_names), -1, -1)
        else:
            shape = (len(class_names), context_length) if class_specific else (context_length,)
            context = CONTEXT_STD * torch.randn(*shape, text.width, generator=seeded_generator(seed, f"{name}.context"))
        added = None
        if offset == "random":
            generator = seeded_generator(seed, f"{name}.offset")
            added = torch.randn(len(class_names), text.feature_width, generator=generator)
        elif offset == "zero":
            added = torch.zeros(len(class_names), text.feature_width)
        return cls(text, class_names, context, added)

    def text_features(self) -> Tensor:
        """(C, D) text features of the prompts, before the offset and not normalised."""
        names: Tensor = self._names  # type: ignore[assignment]
        ends: Tensor = self._ends  # type: ignore[assignment]
        context = self.context if self.context.dim() == 3 else self.context.expand(len(names), -1, -1)
        prompts = torch.cat([names[:, :1], context.to(names.dtype), names[:, 1:]], dim=1)
        return self._text.encode(prompts, ends).to(self.context.dtype)

    def class_vectors(self) -> Tensor:
        """(C, D) text features plus the offset, where there is one."""
        features = self.text_features()
        return features if self.offset is None else features + self.offset

    def forward(self, regions: Tensor) -> Tensor:
        """(B, R, D) → (B, C, R), S = 20 · cos. Encodes the text of all classes at every call: fold to use it."""
        return cosine_map(regions, self.class_vectors())

    def fold(self) -> EmbeddingSide:
        """The embedding side with this side's class vectors; the text tower is not needed again."""
        with torch.no_grad():
            return EmbeddingSide(self.class_vectors())


def _embed_names(text: TextEncoder, class_names: Sequence[str], context_length: int) -> tuple[Tensor, Tensor]:
    """Embeddings of [start] name "." [end] padded to the longest, and the end positions once contexts stand between."""
    rows = []
    for name in class_names:
        tokens = text.tokenize(f"{name}.")
        needed = len(tokens) + context_length + 2
        if needed > text.context_length:
            raise UserError(
                f"class name {name!r} is too long: with {context_length} context tokens it takes {needed} of "
                f"{text.context_length} positions; shorten the name or the context"
            )
        rows.append(text.embed(tokens))
    ends = torch.tensor([len(row) - 1 + context_length for row in rows], device=rows[0].device)
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), ends
