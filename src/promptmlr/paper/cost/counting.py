"""The cost of a computation: floating-point operations, memory, seconds."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_flops", "peak_bytes", "seconds_now"]


def count_flops(work: Callable[[], object]) -> int:
    """FLOPs of all matrix products and convolutions, by torch's counter: 2 for each multiply-add.

    Fused attention kernels are switched off meanwhile: the counter does not see them, or they compute some products
    twice.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            work()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return int(counter.get_total_flops())


def peak_bytes(work: Callable[[], object]) -> int:
    """Peak bytes of the tensors that `work` allocates, without the scratch memory inside an operation.

    Weights and inputs that exist before do not count; gradients and an optimizer's state count if `work` makes them.
    The result is the same on every device and in every run.
    """
    memory = _TensorMemory()
    with memory:
        work()
    return memory.peak


class _TensorMemory(TorchDispatchMode):
    """Tracks the storage of every tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._held: dict[StorageWeakRef, int] = {}
        self._sum = 0  # of all in `_held`, whether or not they are still alive

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = {_storage(tensor) for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)}
        result = func(*args, **kwargs)
        for tensor in tree_leaves(result):
            storage = _storage(tensor) if isinstance(tensor, Tensor) else None
            if storage is not None and storage not in given and storage not in self._held:
                self._held[storage] = tensor.untyped_storage().nbytes()
                self._sum += self._held[storage]
        if self._sum > self.peak:  # an upper bound: freed tensors are subtracted only when it could be a new peak
            self._held = {storage: size for storage, size in self._held.items() if not storage.expired()}
            self._sum = sum(self._held.values())
            self.peak = max(self.peak, self._sum)
        return result


def _storage(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())


def seconds_now(device: torch.device) -> float:
    """Seconds of a clock, read after the device has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
