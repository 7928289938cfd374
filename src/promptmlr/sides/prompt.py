"""The prompt side: M learned context vectors + a class name + ".", through a frozen text tower (CoOp's prompts)."""

import itertools
from collections.abc import Sequence
from functools import partial
from numbers import Integral
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from promptmlr.errors import UserError
from promptmlr.functional import cosine_map
from promptmlr.profiling import backward_part, part
from promptmlr.sides.base import Side, seeded_generator
from promptmlr.sides.beginning import Beginning, Offset
from promptmlr.sides.embedding import EmbeddingSide

__all__ = ["PromptSide", "TextEncoder"]

CONTEXT_STD = 0.02  # of random contexts; the released MLCPromptLearner uses the same
KEPT_BYTES = 1 << 30  # of activations that a backward pass may keep: 80 classes at W = 512 take 0.9 GiB
CHUNK_BYTES = 64 << 20  # of activations at a time beyond that
GROUPS_PAY = 0.2  # least share of positions saved for which short and long names are encoded separately


class TextEncoder(Protocol):
    """The part of the text tower that prompts use. W is its width, D the width of the shared feature space."""

    width: int
    context_length: int
    start_tokens: tuple[int, ...]
    end_tokens: tuple[int, ...]

    @property
    def feature_width(self) -> int:
        """D."""

    def activation_bytes(self, positions: int) -> int:
        """Estimated bytes that a backward pass keeps of one prompt of so many positions."""

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without what stands before and behind every text."""

    def embed(self, tokens: Tensor | Sequence[int]) -> Tensor:
        """(…) token ids → (…, W) embeddings."""

    def prefix(self, embeddings: Tensor) -> Tensor:
        """(P, W) embeddings of the common prefix of all prompts → its keys and values for `encode`."""

    def encode(self, embeddings: Tensor, ends: Tensor, prefix: Tensor) -> Tensor:
        """(N, L, W) embeddings behind a prefix, and the (N,) positions of their last tokens → (N, D) text features."""


class PromptSide(Side):
    """A prompt per class: [start] context₁ … context_M name "." [end].

    The text tower is not a submodule, so that `state_dict()` holds the learned tensors only.

    Args:
        text: the frozen text tower.
        class_names: C names, as the tower should read them.
        context: (M, W) shared by all classes or (C, M, W) class-specific.
        offset: (C, D) learned term added to the text features (released code, not in the paper), or None.

    Raises:
        UserError: a name does not fit after M context tokens.
    """

    rates: ClassVar = {"context": "context_rate", "offset": "embedding_rate"}
    needs = "has_text_tower"
    by_rows = True

    def __init__(
        self, text: TextEncoder, class_names: Sequence[str], context: Tensor, offset: Tensor | None = None
    ) -> None:
        super().__init__()
        self._text = text
        self._class_names = tuple(class_names)
        self.context = nn.Parameter(context.detach().clone())
        self.offset = None if offset is None else nn.Parameter(offset.detach().clone())
        # (C, L) token ids of name "." [end]: embedded when they are encoded, they are W times as large.
        names, ends = _name_tokens(text, class_names, context.shape[-2])
        self._start: Tensor
        self._names: Tensor
        self._ends: Tensor
        self.register_buffer("_start", torch.tensor(text.start_tokens, dtype=torch.int64), persistent=False)
        self.register_buffer("_names", names, persistent=False)
        self.register_buffer("_ends", ends, persistent=False)  # (C,) where [end] stands in them
        # Classes with short and with long names are encoded separately if that saves enough padding.
        groups = _groups(ends + 1 + (context.shape[1] if context.dim() == 3 else 0))
        self._lengths = [int(ends[group].max()) + 1 for group in groups]
        self._group_sizes = [len(group) for group in groups]
        self._grouped: Tensor
        self._places: Tensor
        self.register_buffer("_grouped", torch.cat(groups), persistent=False)
        self.register_buffer("_places", torch.cat(groups).argsort(), persistent=False)

    @classmethod
    def begin(cls, at: Beginning) -> "PromptSide":
        """A side with the recipe's start; raises `UserError` for a context that does not fit the text tower."""
        text = at.text()
        longest = text.context_length - 1
        if not isinstance(at.context_length, Integral) or not 1 <= at.context_length <= longest:
            raise UserError(f"context_length is {at.context_length}; it must be a whole number in 1..{longest}")
        return cls.create(
            text,
            at.class_names,
            context_length=at.context_length,
            context_words=at.context_words,
            class_specific=at.class_specific,
            offset=at.offset,
            seed=at.seed,
            name=at.name,
        )

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
            context = text.embed(text.tokenize(context_words)).float()
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
        """(C, D) text features of the prompts, before the offset and not normalised.

        Memory does not grow with C: many classes go through the tower in chunks, whose activations the backward pass
        computes again instead of keeping them.
        """
        if self._activation_bytes() <= KEPT_BYTES:
            return self._kept_features([self])[0]
        names, ends, context = self._names, self._ends, self.context
        specific, prefix = context.dim() == 3, self._prefix()
        size = max(1, CHUNK_BYTES * len(names) // self._activation_bytes())
        # `split` and not slices: a slice's gradient is as large as the whole context.
        contexts = context.split(size) if specific else itertools.repeat(None)
        chunks = zip(names.split(size), ends.split(size), contexts, strict=False)
        encode = self._encode
        if torch.is_grad_enabled() and self.context.requires_grad:
            # Non-reentrant checkpoints keep the graph of every chunk: small allocations between freed large ones, so
            # that on a CPU the memory of the process grows with C.
            encode = partial(checkpoint, encode, use_reentrant=True, preserve_rng_state=False)
        return torch.cat([encode(*chunk, prefix) for chunk in chunks])

    def _kept_features(self, sides: Sequence["PromptSide"]) -> Tensor:
        """(T, C, D) text features of T sides that can be encoded together with this one, all activations kept."""
        names, ends, prefix = self._names, self._ends, self._prefix()
        specific = self.context.dim() == 3
        contexts = torch.stack([side.context for side in sides]) if len(sides) > 1 else sides[0].context[None]
        features = []
        for rows, length in zip(self._grouped.split(self._group_sizes), self._lengths, strict=True):
            own = contexts[:, rows].flatten(0, 1) if specific else None
            encoded = self._encode(
                names[rows, :length].repeat(len(sides), 1), ends[rows].repeat(len(sides)), own, prefix
            )
            features.append(encoded.unflatten(0, (len(sides), -1)))
        return torch.cat(features, dim=1)[:, self._places]

    def _prefix(self) -> Tensor:
        """Keys and values of the common prefix of all prompts."""
        start = self._text.embed(self._start)
        alike = start if self.context.dim() == 3 else torch.cat([start, self.context.to(start.dtype)])
        return self._text.prefix(alike)

    def _activation_bytes(self) -> int:
        """Estimated bytes that a backward pass keeps for all classes."""
        positions = self._names.shape[1] + (self.context.shape[1] if self.context.dim() == 3 else 0)
        return len(self._names) * self._text.activation_bytes(positions)

    def _goes_with(self, other: "PromptSide") -> bool:
        """Whether both have the same prefix and names, so that their texts can be encoded together."""
        same = self._text is other._text and self._class_names == other._class_names
        return same and self.context.dim() == 3 and self.context.shape == other.context.shape

    def _encode(self, names: Tensor, ends: Tensor, context: Tensor | None, prefix: Tensor) -> Tensor:
        """(C', D) features of some classes; `context` (C', M, W) stands between the prefix and their names."""
        embeddings = self._text.embed(names)
        if context is not None:
            embeddings = torch.cat([context.to(embeddings.dtype), embeddings], dim=1)
            ends = ends + context.shape[1]
        return self._text.encode(embeddings, ends, prefix).to(self.context.dtype)

    def class_vectors(self) -> Tensor:
        """(C, D) text features plus the offset, where there is one; encodes the text of all classes at every call."""
        with part("text, forward"):
            features = self.text_features()
        backward_part("text, backward", features)
        return self._with_offset(features)

    def _with_offset(self, features: Tensor) -> Tensor:
        return features if self.offset is None else features + self.offset

    @staticmethod
    def similarity(regions: Tensor, vectors: Tensor) -> Tensor:
        """(B, R, D), (C, D) → (B, C, R), S = 20 · cos."""
        return cosine_map(regions, vectors)

    @classmethod
    def joint_vectors(cls, sides: Sequence["PromptSide"]) -> Tensor:
        """(ΣC, D); texts are encoded together where that takes no chunks."""
        first = sides[0]
        kept = len(sides) * first._activation_bytes() <= KEPT_BYTES
        if len(sides) == 1 or not kept or not all(map(first._goes_with, sides)):
            return torch.cat([side.class_vectors() for side in sides])
        with part("text, forward"):
            features = first._kept_features(sides)
        backward_part("text, backward", features)
        return torch.cat([side._with_offset(own) for side, own in zip(sides, features, strict=True)])

    def fold(self) -> EmbeddingSide:
        """The embedding side with this side's class vectors; the text tower is not needed again."""
        with torch.no_grad():
            return EmbeddingSide(self.class_vectors())


def _name_tokens(text: TextEncoder, class_names: Sequence[str], context_length: int) -> tuple[Tensor, Tensor]:
    """(C, L) int64 tokens of name "." [end], padded to the longest, and the (C,) positions of [end]."""
    rows = []
    for name in class_names:
        tokens = text.tokenize(f"{name}.")
        needed = len(text.start_tokens) + context_length + len(tokens) + len(text.end_tokens)
        if needed > text.context_length:
            raise UserError(
                f"class name {name!r} is too long: with {context_length} context tokens it takes {needed} of "
                f"{text.context_length} positions; shorten the name or the context"
            )
        rows.append(torch.tensor([*tokens, *text.end_tokens]))
    ends = torch.tensor([len(row) - 1 for row in rows])
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), ends


def _groups(positions: Tensor) -> list[Tensor]:
    """Rows of all classes, or of short and of long prompts separately if that saves enough positions.

    Args:
        positions: (C,) int64, the number of positions of each class.
    """
    longest = int(positions.max())
    cuts = positions.unique()[:-1]
    short = positions <= cuts[:, None]
    saved = short.sum(dim=1) * (longest - cuts)
    if not len(cuts) or saved.max() < GROUPS_PAY * longest * len(positions):
        return [torch.arange(len(positions))]
    rows = short[saved.argmax()]
    return [rows.nonzero()[:, 0], (~rows).nonzero()[:, 0]]
