"""What holds for every row of the table of poolings."""

import pytest
import torch

from promptmlr.pooling import POOLINGS


def similarity(regions: int) -> torch.Tensor:
    return 5 * torch.randn(2, 3, regions, generator=torch.Generator().manual_seed(regions))


@pytest.mark.parametrize("name", sorted(POOLINGS))
@pytest.mark.parametrize("regions", [1, 2, 17])
def test_every_pooling_gives_weights_that_sum_to_one(name: str, regions: int) -> None:
    given = similarity(regions)
    weights = POOLINGS[name].weights(given)
    assert weights.shape == given.shape
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3))


@pytest.mark.parametrize("name", sorted(POOLINGS))
def test_every_pooling_follows_its_regions_and_looks_at_one_map_alone(name: str) -> None:
    given, order = similarity(17), torch.randperm(17, generator=torch.Generator().manual_seed(1))
    weights = POOLINGS[name].weights(given)
    torch.testing.assert_close(POOLINGS[name].weights(given[..., order]), weights[..., order])
    torch.testing.assert_close(POOLINGS[name].weights(given[1:, 1:2]), weights[1:, 1:2])
