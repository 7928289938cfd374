"""Packing keeps the shipped rows; unpacking gives every other token a vector of its own."""

import pytest
import torch
from torch import Tensor

from promptmlr.backbone.packing import VOCABULARY_SIZE, pack, unpack

IDS = torch.tensor([3, 17, 320, 1000, 49406, 49407])


@pytest.fixture
def state_dict() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    spread, centre = torch.tensor([1.0, 10.0, 0.1]), torch.tensor([0.0, 5.0, -1.0])
    return {
        "token_embedding.weight": centre + spread * torch.randn(VOCABULARY_SIZE, 3, generator=generator),
        "text_projection": torch.randn(3, 2, generator=generator),
        "visual.bn1.num_batches_tracked": torch.tensor(70_000),
    }


def test_the_round_trip_keeps_everything_but_the_other_tokens(state_dict: dict[str, Tensor]) -> None:
    full = unpack(pack(state_dict, IDS))
    assert full.keys() == state_dict.keys()
    assert full["token_embedding.weight"].shape == (VOCABULARY_SIZE, 3)
    torch.testing.assert_close(
        full["token_embedding.weight"][IDS], state_dict["token_embedding.weight"][IDS], rtol=1e-3, atol=1e-6
    )
    torch.testing.assert_close(full["text_projection"], state_dict["text_projection"], rtol=1e-3, atol=1e-6)
    assert full["visual.bn1.num_batches_tracked"] == 70_000


def test_packed_is_half_precision_and_small(state_dict: dict[str, Tensor]) -> None:
    packed = pack(state_dict, IDS)
    assert packed["token_embedding.weight"].shape == (len(IDS), 3)
    assert packed["token_embedding.weight"].dtype == packed["text_projection"].dtype == torch.float16
    assert packed["token_embedding.ids"].dtype == torch.int64
    assert packed["visual.bn1.num_batches_tracked"].dtype == torch.int64


def test_packing_again_changes_nothing(state_dict: dict[str, Tensor]) -> None:
    packed = pack(state_dict, IDS)
    again = pack(unpack(packed), IDS)
    assert all(torch.equal(again[key], packed[key]) for key in packed)


def test_unseen_tokens_differ_and_are_the_same_every_time(state_dict: dict[str, Tensor]) -> None:
    packed = pack(state_dict, IDS)
    table = unpack(packed)["token_embedding.weight"]
    assert len(table.unique(dim=0)) == VOCABULARY_SIZE
    assert torch.equal(unpack(packed)["token_embedding.weight"], table)


def test_unseen_tokens_look_like_shipped_ones(state_dict: dict[str, Tensor]) -> None:
    table = unpack(pack(state_dict, IDS))["token_embedding.weight"]
    rows = table[IDS]
    unseen = table[torch.isin(torch.arange(VOCABULARY_SIZE), IDS, invert=True)]
    torch.testing.assert_close(unseen.mean(dim=0), rows.mean(dim=0), rtol=0, atol=0.05 * float(rows.std(dim=0).max()))
    torch.testing.assert_close(unseen.std(dim=0), rows.std(dim=0), rtol=0.05, atol=0)


def test_inputs_are_left_alone(state_dict: dict[str, Tensor]) -> None:
    packed = pack(state_dict, IDS)
    keys = set(packed)
    unpack(packed)
    assert set(packed) == keys
    packed["token_embedding.ids"][0] = 5
    assert IDS[0] == 3
