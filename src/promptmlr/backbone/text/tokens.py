"""From sentences to token ids: what a tokenizer puts before, behind and after a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from open_clip.tokenizer import SimpleTokenizer

from promptmlr.errors import UserError

__all__ = ["Tokens"]


@dataclass(frozen=True)
class Tokens:
    """A tokenizer as text towers see it.

    Attributes:
        start: ids before every text; there may be none.
        end: ids behind it; there may be none.
        pad: the id that fills a row up.
        context_length: ids in a row.
        tokenizer: open_clip's.
    """

    start: tuple[int, ...]
    end: tuple[int, ...]
    pad: int
    context_length: int
    tokenizer: Any

    @classmethod
    def of(cls, tokenizer: Any, context_length: int) -> "Tokens":
        """Of a tokenizer of open_clip's.

        Args:
            tokenizer: CLIP's, or one of Hugging Face's, which knows how long its rows are.
            context_length: ids in a row of CLIP's.

        Raises:
            UserError: it makes rows in another way than start, text, end, pads.
        """
        if isinstance(tokenizer, SimpleTokenizer):
            return cls((tokenizer.sot_token_id,), (tokenizer.eot_token_id,), 0, context_length, tokenizer)
        inner = tokenizer.tokenizer
        text, whole = inner("a", add_special_tokens=False).input_ids, inner("a").input_ids
        begin = next(at for at in range(len(whole)) if whole[at : at + len(text)] == text)
        end = [0 if token == inner.sep_token_id and tokenizer.strip_sep_token else token for token in whole]
        found = cls(
            tuple(whole[:begin]),
            tuple(end[begin + len(text) :]),
            int(inner.pad_token_id),
            int(tokenizer.context_length),
            tokenizer,
        )
        if found.row(found.encode("a")) != tokenizer(["a"])[0].tolist():
            raise UserError("this tokenizer puts something else around a text than a start, an end and pads behind it")
        return found

    def encode(self, text: str) -> list[int]:
        """Ids of a text alone."""
        if isinstance(self.tokenizer, SimpleTokenizer):
            return list(self.tokenizer.encode(text))
        cleaned = self.tokenizer.clean_fn(text)
        return list(self.tokenizer.tokenizer(cleaned, add_special_tokens=False).input_ids)

    def row(self, ids: Sequence[int]) -> list[int]:
        """A whole row of a text's ids."""
        needed = [*self.start, *ids, *self.end]
        return needed + [self.pad] * (self.context_length - len(needed))
