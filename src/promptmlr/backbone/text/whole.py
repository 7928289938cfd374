"""Any text tower, whole: every position of every prompt goes through the model's own forward pass.

For towers in which a token sees what stands behind it (SigLIP, CLIPA, MobileCLIP, Hugging Face's) or that are pooled
elsewhere than at the end token (CoCa): nothing can be trimmed or shared. Embeddings of prompts take the place of what
the model's own token table gives; its masks and pooling go by ids, so those of start, end and pads are the real ones.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from promptmlr.backbone.text.tokens import Tokens
from promptmlr.backbone.text.tower import TextTower
from promptmlr.errors import UserError

__all__ = ["KIND", "WholeText"]


class WholeText(TextTower):
    """A text tower through its own `encode_text`.

    Args:
        model: an open_clip model with frozen weights.
        tokens: its tokenizer.
    """

    def __init__(self, model: Any, tokens: Tokens) -> None:
        self._model = model
        self._table = _token_table(getattr(model, "text", model))
        super().__init__(model, tokens)
        self._filler = tokens.encode("a")[0]  # any id that is neither start, end nor pad

    @classmethod
    def fits(cls, model: Any, tokens: Tokens) -> bool:  # noqa: ARG003
        """Always."""
        return True

    @property
    def _embedding_weight(self) -> Tensor:
        if self._table is None:  # no prompts then; its own weights still tell dtype and device
            weight: Tensor = next(parameter for parameter in self._tower.parameters() if parameter.dim() == 2)
            return weight
        return next(self._table.parameters())

    @property
    def _blocks(self) -> int:
        config = getattr(self._tower, "config", None)
        return len(self._tower.transformer.resblocks) if config is None else int(config.num_hidden_layers)

    def activation_bytes(self, positions: int) -> int:  # noqa: ARG002
        """About what a backward pass keeps of one prompt; it takes all positions there are."""
        return super().activation_bytes(self.context_length)

    def embed(self, tokens: Tensor | Sequence[int]) -> Tensor:
        """(…) token ids → (…, W) embeddings in the tower's dtype, before the positional embedding.

        Raises:
            UserError: the tower has no token table.
        """
        if self._table is None:
            raise UserError(
                f"prompts cannot be learned through a text tower {type(self._tower).__name__}, which takes no token "
                "embeddings: take a method without prompts, such as --method anchored"
            )
        with torch.no_grad():
            ids = torch.as_tensor(tokens, dtype=torch.int64, device=self._embedding_weight.device)
            embeddings: Tensor = self._table(ids)
        return embeddings

    def prefix(self, embeddings: Tensor) -> Tensor:
        """(P, W) embeddings as they are: nothing of them can be computed once for all prompts."""
        return embeddings

    def encode(self, embeddings: Tensor, ends: Tensor, prefix: Tensor) -> Tensor:
        """Text features of embedded prompts, filled up with pads; see `TextTower.encode`."""
        assert self._table is not None
        count = len(embeddings)
        x = torch.cat([prefix.to(self.dtype).expand(count, -1, -1), embeddings.to(self.dtype)], dim=1)
        x = nn.functional.pad(x, (0, 0, 0, self.context_length - x.shape[1]))
        positions = torch.arange(self.context_length, device=x.device)
        last = (ends + len(prefix))[:, None]
        ids = torch.where(positions > last, self._tokens.pad, self._filler)
        ids[:, : len(self.start_tokens)] = torch.tensor(self.start_tokens, device=x.device)
        for back, token in enumerate(reversed(self.end_tokens)):
            ids[positions == last - back] = token
        x = torch.where((positions > last)[..., None], self.embed([self._tokens.pad]), x)
        with _in_place_of(self._table, x):
            features: Tensor = self._model.encode_text(ids, normalize=False)
        return features

    def _encode_rows(self, rows: Sequence[Sequence[int]]) -> Tensor:
        ids = torch.tensor([self._tokens.row(row) for row in rows], device=self._embedding_weight.device)
        features: Tensor = self._model.encode_text(ids, normalize=False)
        return features


def _token_table(text: Any) -> nn.Module | None:
    """The module that embeds tokens: open_clip's, or of a Hugging Face model what it says."""
    if hasattr(text, "token_embedding"):
        return text.token_embedding  # type: ignore[no-any-return]
    try:
        return text.transformer.get_input_embeddings()  # type: ignore[no-any-return]
    except (AttributeError, NotImplementedError):
        return None


@contextmanager
def _in_place_of(module: nn.Module, output: Tensor) -> Iterator[None]:
    """For a while, a module gives this whatever it is asked."""
    handle = module.register_forward_hook(lambda *_: output)
    try:
        yield
    finally:
        handle.remove()


KIND = WholeText
