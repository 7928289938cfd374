"""A CLIP state dict with a packed token table: only the rows that its captions use are shipped.

Packed layout: OpenAI's keys in float16, except that `token_embedding.weight` (n, W) holds n rows and
`token_embedding.ids` (n,) int64 holds their token ids. When unpacked, every other token gets its own vector from a
seeded normal distribution with the column-wise mean and standard deviation of the shipped rows, so that unknown names
have different, reproducible features without meaning.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["VOCABULARY_SIZE", "is_packed", "pack", "unpack"]

VOCABULARY_SIZE = 49408
"""Rows of CLIP's token table."""

_TABLE, _IDS = "token_embedding.weight", "token_embedding.ids"
_SEED = 0


def is_packed(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether these tensors are what `pack` returned."""
    return _IDS in state_dict


def pack(state_dict: dict[str, Tensor], token_ids: Tensor) -> dict[str, Tensor]:
    """Keep the rows `token_ids` of the token table and round everything to float16.

    Args:
        state_dict: OpenAI's layout, with a full token table (49408, W).
        token_ids: (n,) int64, the tokens to keep, ascending.
    """
    packed = {key: _halved(value) for key, value in state_dict.items()}
    packed[_TABLE] = packed[_TABLE][token_ids].clone()
    packed[_IDS] = token_ids.clone()
    return packed


def unpack(packed: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rebuild the full token table (49408, W); the inverse of `pack` on the rows that were kept.

    Args:
        packed: what `pack` returned.

    Returns:
        OpenAI's layout in float32 (counters stay integers), which open_clip builds a model from.

    Raises:
        ValueError: the ids are not int64 token ids, one for each row.
    """
    state_dict = {key: value.float() if value.is_floating_point() else value for key, value in packed.items()}
    ids, rows = state_dict.pop(_IDS), state_dict[_TABLE]
    if ids.dtype != torch.int64 or ids.shape != rows.shape[:1] or rows.dim() != 2:
        raise ValueError(f"{_IDS} {tuple(ids.shape)} does not number the rows of {_TABLE} {tuple(rows.shape)}")
    if not ((ids >= 0) & (ids < VOCABULARY_SIZE)).all():
        raise ValueError(f"{_IDS} names a token outside 0 … {VOCABULARY_SIZE - 1}")
    generator = torch.Generator().manual_seed(_SEED)
    noise = torch.randn(VOCABULARY_SIZE, rows.shape[1], generator=generator)
    table = rows.mean(dim=0) + rows.std(dim=0) * noise
    table[ids] = rows
    state_dict[_TABLE] = table
    return state_dict


def _halved(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value.clone()
