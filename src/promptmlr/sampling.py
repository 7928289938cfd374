"""The order in which an epoch goes through images: a function of a seed and the epoch alone.

Images in memory are permuted. Where their regions lie in shards that do not fit, the shards of an epoch come in random
order, and a buffer takes `SHARDS_AT_ONCE` of them: images are drawn from it at random until it is empty. So each shard
is read once an epoch, and each image is seen once.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHARDS_AT_ONCE", "epoch_order"]

SHARDS_AT_ONCE = 8

Indices = NDArray[np.int64]


def epoch_order(
    count: int, batch_size: int, order_seed: int, epoch: int, shards: Indices | None = None
) -> list[Indices]:
    """Batches of a seeded permutation of 0 … count − 1; the last one may be smaller.

    Args:
        count: N.
        batch_size: images of a batch.
        order_seed: of the permutation.
        epoch: from 0.
        shards: (N,) the shard of each image; None permutes all images at once.
    """
    rng = np.random.default_rng([order_seed, epoch])
    order = rng.permutation(count)
    if shards is not None:
        names, own = np.unique(shards, return_inverse=True)
        buffer = rng.permutation(len(names))[own] // SHARDS_AT_ONCE
        order = order[np.argsort(buffer[order], kind="stable")]
    batches = [order[begin : begin + batch_size] for begin in range(0, count, batch_size)]
    if shards is None:
        return batches
    # Within a batch the order changes nothing but rounding; so each of several processes needs few of its shards.
    return [batch[np.argsort(shards[batch], kind="stable")] for batch in batches]
