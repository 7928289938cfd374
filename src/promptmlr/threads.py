"""Number of torch threads on a CPU: one for small steps.

A second thread gains little there, and on a busy machine threads wait for each other at every operator, so that
training on small data sets takes many times as long.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["threads_for"]

SMALL = 3e8  # multiplications of one step, below which one thread does it


@contextmanager
def threads_for(multiplications: float) -> Iterator[None]:
    """Within the block, one thread if steps are small; whatever there was before, afterwards."""
    before = torch.get_num_threads()
    if multiplications >= SMALL or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
