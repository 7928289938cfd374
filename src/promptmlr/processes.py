"""Several processes that do one job (`torchrun`): which of them this is, and what they tell each other.

All of them take the same steps with the same numbers; each computes a part of the images and hears of the rest. Only
the first writes and prints. In one process, nothing here does anything.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch import distributed as dist

from promptmlr.errors import EnvironmentFault, UserError

__all__ = [
    "first",
    "from_first",
    "gathered",
    "gathered_items",
    "gathered_rows",
    "here",
    "only_first",
    "own_part",
    "processes",
    "rank",
    "sum_gradients",
    "together",
]

PATIENCE = timedelta(hours=2)  # one of them may write or read something alone, but not for as long as that

Item = TypeVar("Item")
Part = TypeVar("Part", bound=Sequence[Any] | NDArray[Any])
Arguments = ParamSpec("Arguments")


@contextmanager
def together() -> Iterator[None]:
    """The block is done by all processes that `torchrun` started, if it started this one; else by this one alone.

    Raises:
        EnvironmentFault: they do not find each other.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    try:
        dist.init_process_group(_backend(), timeout=PATIENCE)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise EnvironmentFault(f"the processes do not find each other ({reason}); start them with torchrun") from error
    try:
        yield
    finally:
        dist.destroy_process_group()


def _backend() -> str:
    """Gloo; for GPUs NCCL, as long as each process has one of its own."""
    if not torch.cuda.is_available():
        return "gloo"
    gpus, place = torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", "0"))
    torch.cuda.set_device(place % gpus)
    return "cpu:gloo,cuda:nccl" if here_by_environment() <= gpus else "gloo"


def here_by_environment() -> int:
    """Processes on this machine, as `torchrun` says it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def processes() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def here() -> int:
    """How many of them share this machine and its memory."""
    return here_by_environment() if processes() > 1 else 1


def rank() -> int:
    """Which one this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def first() -> bool:
    """Whether this is the one that writes and prints."""
    return rank() == 0


def only_first(work: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """A function that does nothing in the other processes."""

    @wraps(work)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        if first():
            work(*args, **kwargs)

    return wrapped


def from_first(work: Callable[[], Item]) -> Item:
    """What `work` gives in the first process, in all of them; if it fails there, it fails everywhere.

    Raises:
        UserError, EnvironmentFault: as `work`.
    """
    if processes() == 1:
        return work()
    outcome: list[Any] = [None]
    if first():
        try:
            outcome = [(work(), None)]
        except (UserError, EnvironmentFault) as error:
            outcome = [(None, error)]
            dist.broadcast_object_list(outcome, src=0)
            raise
    dist.broadcast_object_list(outcome, src=0)
    value, failure = outcome[0]
    if failure is not None:
        raise failure
    return cast("Item", value)


def own_part(items: Part) -> Part:
    """This process's part of a list or an array: parts are about equal and lie in the order of the processes."""
    begin, end = (len(items) * place // processes() for place in (rank(), rank() + 1))
    return cast("Part", items[begin:end])


def gathered(own: Item) -> list[Item]:
    """What each process has, in their order."""
    if processes() == 1:
        return [own]
    everyone: list[Any] = [None] * processes()
    dist.all_gather_object(everyone, own)
    return everyone


def gathered_items(own: list[Item]) -> list[Item]:
    """The items of all processes, in the order of these."""
    return [item for part in gathered(own) for item in part]


def gathered_rows(own: Tensor, counts: Sequence[int]) -> Tensor:
    """The rows of all processes, one below the other; a gradient reaches this process's alone.

    Args:
        own: (B', …) of this process, on any device.
        counts: B' of each process.
    """
    if processes() == 1:
        return own
    padded = own.new_zeros((max(counts), *own.shape[1:]))
    padded[: len(own)] = own.detach()
    everyone = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(everyone, padded)
    rows = [part[:count] for part, count in zip(everyone, counts, strict=True)]
    rows[rank()] = own
    return torch.cat(rows)


def sum_gradients(parameters: Sequence[Tensor]) -> None:
    """Replace the gradient of each tensor by the sum over all processes."""
    if processes() == 1:
        return
    gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    for one, part in zip(parameters, flat.split([one.numel() for one in parameters]), strict=True):
        one.grad = part.view_as(one)
