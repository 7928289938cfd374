"""The order of an epoch: every image once, by shard if asked, and nothing but seed and epoch decide it."""

import numpy as np
import pytest

from promptmlr.sampling import SHARDS_AT_ONCE, epoch_order

COUNT, PER_SHARD, BATCH = 1_003, 20, 32
SHARDS = np.random.default_rng(0).permutation(COUNT) // PER_SHARD


@pytest.mark.parametrize("shards", [None, SHARDS], ids=["shuffled", "by shard"])
def test_every_image_is_seen_once_an_epoch(shards) -> None:
    epochs = [epoch_order(COUNT, BATCH, 3, epoch, shards) for epoch in range(3)]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [BATCH] * (COUNT // BATCH) + [COUNT % BATCH]
        assert sorted(np.concatenate(batches)) == list(range(COUNT))
    assert any((one != other).any() for one, other in zip(epochs[0], epochs[1], strict=True))
    for batch, again in zip(epochs[2], epoch_order(COUNT, BATCH, 3, 2, shards), strict=True):
        np.testing.assert_array_equal(batch, again)
    assert (np.concatenate(epoch_order(COUNT, BATCH, 4, 2, shards)) != np.concatenate(epochs[2])).any()


def test_a_shard_is_left_before_the_next_buffer_is_filled() -> None:
    order = SHARDS[np.concatenate(epoch_order(COUNT, 1, 0, 0, SHARDS))]
    first = [int(np.flatnonzero(order == shard)[0]) for shard in range(SHARDS.max() + 1)]
    last = [int(np.flatnonzero(order == shard)[-1]) for shard in range(SHARDS.max() + 1)]
    for step in range(COUNT):
        assert sum(begin <= step <= end for begin, end in zip(first, last, strict=True)) <= SHARDS_AT_ONCE
    begins = np.argsort(first).tolist()
    assert begins != sorted(begins)


def test_images_of_a_buffer_are_mixed() -> None:
    batches = epoch_order(COUNT, BATCH, 0, 0, SHARDS)
    assert np.mean([len(np.unique(SHARDS[batch])) for batch in batches]) > SHARDS_AT_ONCE - 1
    for batch in batches:  # each of several processes reads a part of it, and of few shards
        assert (np.diff(SHARDS[batch]) >= 0).all()


def test_few_shards_are_all_images_shuffled() -> None:
    shards = np.arange(40) // 10
    batches = epoch_order(40, 40, 0, 0, shards)
    assert sorted(batches[0]) == list(range(40))
