"""What bench/gpu.py measures with: a device's clock, its rates, waits of the host for it, and a budget of time."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from promptmlr.paper.cost.counting import seconds_now

__all__ = [
    "Budget",
    "Rates",
    "Timed",
    "forget_peak",
    "measured_rates",
    "peak_gib",
    "timed",
    "waits_noted",
    "watch_waits",
]

WAIT = "called a synchronizing CUDA operation"  # torch.cuda.set_sync_debug_mode("warn")
WARM, LEAST, MOST = 2, 3, 500  # calls


@dataclass(frozen=True)
class Timed:
    """Seconds of a call, and where the host waited for the device meanwhile; None where no GPU could tell."""

    seconds: float
    waits: tuple[str, ...] | None


@dataclass
class Budget:
    """Parts of the work share the time, and what one leaves the next one has.

    Attributes:
        seconds: of all parts together.
        left_out: what there was no time for, in words.
    """

    seconds: float
    left_out: list[str] = field(default_factory=list)
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        self._begin = self.clock()
        self._until = 0.0

    def part(self, share: float) -> None:
        """Begin a part; it may go on until its share and those before it are over."""
        self._until += share * self.seconds

    def has_time(self, case: str) -> bool:
        """Whether a case of this part may begin; if not, it is noted as left out."""
        fits = self.clock() - self._begin < self._until
        if not fits:
            self.left_out.append(case)
        return fits


def watch_waits(device: torch.device, on: bool) -> None:
    """Have torch warn of every call that waits for the device, or no longer."""
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("warn" if on else "default")


@contextmanager
def waits_noted() -> Iterator[list[str]]:
    """The list gets file and line of every such warning when the block ends."""
    waits: list[str] = []
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield waits
    for one in found:
        if WAIT in str(one.message):
            waits.append(f"{one.filename}:{one.lineno}")
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def timed(work: Callable[[], object], device: torch.device, seconds: float) -> Timed:
    """Seconds of a call, as the mean over calls that take about `seconds` together."""
    for _ in range(WARM):
        work()
    begin = seconds_now(device)
    work()
    once = seconds_now(device) - begin
    calls = min(max(round(seconds / max(once, 1e-9)), LEAST), MOST)
    with waits_noted() as waits:
        begin = seconds_now(device)
        watch_waits(device, True)
        try:
            for _ in range(calls):
                work()
        finally:
            watch_waits(device, False)
        taken = seconds_now(device) - begin
    return Timed(taken / calls, tuple(sorted(set(waits))) if device.type == "cuda" else None)


@dataclass(frozen=True)
class Rates:
    """What the device reached here: FLOPs of products of square matrices, bytes of a copy, read and written."""

    float32: float
    bfloat16: float
    memory: float
    from_host: float  # bytes per second, out of ordinary memory

    def floor(self, flops: dict[str, float], moved: float) -> float:
        """Seconds that work cannot fall below: its products one after the other, or its bytes if they take longer."""
        return max(sum(count / getattr(self, dtype) for dtype, count in flops.items()), moved / self.memory)


def measured_rates(device: torch.device, side: int, copied: int, seconds: float) -> Rates:
    """Rates with matrices of `side` and `copied` bytes."""

    def products(dtype: torch.dtype) -> float:
        matrix = torch.randn(side, side, device=device).to(dtype)
        return 2 * side**3 / timed(lambda: matrix @ matrix, device, seconds).seconds

    source = torch.ones(copied, dtype=torch.uint8, device=device)
    target, outside = torch.empty_like(source), torch.ones(copied // 8, dtype=torch.uint8)
    return Rates(
        float32=products(torch.float32),
        bfloat16=products(torch.bfloat16),
        memory=2 * copied / timed(lambda: target.copy_(source), device, seconds).seconds,
        from_host=len(outside) / timed(lambda: target[: len(outside)].copy_(outside), device, seconds).seconds,
    )


def forget_peak(device: torch.device) -> None:
    """`peak_gib` begins anew with what is allocated now."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_gib(device: torch.device) -> float | None:
    """GiB that were allocated at once since `forget_peak`; None on a CPU, whose allocator does not say."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
