"""Threads of torch on a CPU: small steps are done by one.

A second thread gains little there, and on a machine that is busy with other things each waits for the other at every
operator: training the smallest data sets then takes many times as long.
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
