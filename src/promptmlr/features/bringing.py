"""Shards of a remote store brought here ahead of the batches that need them."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from promptmlr.features.store import RegionStore
from promptmlr.sampling import SHARDS_AT_ONCE

if TYPE_CHECKING:
    from promptmlr.features.remote_store import RemoteStore

__all__ = ["bringing_shards"]

DOWNLOADS = 4  # at once


@contextmanager
def bringing_shards(
    store: "RegionStore | RemoteStore", batches: Sequence[NDArray[np.int64]]
) -> Iterator[Callable[[int], None]]:
    """Within the block, shards are brought in the order in which batches of rows need them, half of the copies ahead.

    What cannot be brought is an error for the batch that reads it, not here.

    Yields:
        To be called with the number of each batch when it is used.
    """
    if isinstance(store, RegionStore) or not batches:
        yield lambda _number: None
        return
    numbers = np.repeat(np.arange(len(batches)), [len(rows) for rows in batches])
    shards, first = np.unique(store.shards_of(np.concatenate(batches)), return_index=True)
    order = np.argsort(first)
    waiting, needed_by = shards[order].tolist(), numbers[first[order]]
    ahead = min(SHARDS_AT_ONCE, store.shards_in_copies() // 2)
    asked = 0
    with ThreadPoolExecutor(DOWNLOADS, "shards") as pool:

        def at(number: int) -> None:
            nonlocal asked
            wanted = int(np.searchsorted(needed_by, number, side="right")) + ahead
            for shard in waiting[asked:wanted]:
                pool.submit(store.fetch, shard)
            asked = max(asked, wanted)

        at(0)
        try:
            yield at
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
