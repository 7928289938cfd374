"""This project against the released algorithm, in one run: python bench/speed.py (`make bench`)

RN101 at 448 px with random weights, batches of 32 images, COCO's 80 class names, 16 context tokens. The reference is
src/promptmlr/paper/cost/released.py. Ours is the median of 5 and the reference that of 3, after one unmeasured
call each, least and most beside; what takes half a minute is not warmed up. Images are decoded pixels in memory on both
sides. Writes bench/results.json.
"""

import argparse
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from random_towers import CLASS_NAMES, random_backbone, random_labels
from torch import Tensor

from promptmlr.backbone import Backbone, bare_model, tower_dtypes
from promptmlr.features import RegionStore, StoredRegions
from promptmlr.functional import asymmetric_loss, presence_probability
from promptmlr.methods import create_recognizer
from promptmlr.paper.cost import released
from promptmlr.recognizer import Recognizer
from promptmlr.regions import index_batches
from promptmlr.reporting import Reporter

MODEL, SIZE, BATCH, CONTEXT, EVALUATED = "RN101", 448, 32, 16, 64
OURS, REFERENCE = 5, 3
STORED = 8 * BATCH  # images
HELP = """
import sys
from promptmlr.cli import main
sys.argv = ["promptmlr", "--help"]
try:
    main()
finally:
    assert "torch" not in sys.modules
"""


@dataclass(frozen=True)
class Timing:
    """Seconds of one kind of work."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, work: Callable[[], object], runs: int, warm_up: bool = True) -> "Timing":
        if warm_up:
            work()
        seconds = []
        for _ in range(runs):
            begin = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - begin)
        return cls(statistics.median(seconds), min(seconds), max(seconds))

    def __str__(self) -> str:
        return f"{self.median:.3g} s ({self.least:.3g} to {self.most:.3g})"


class Bench:
    """Inputs that both sides share, and what was measured so far."""

    def __init__(self) -> None:
        self.pixels = torch.randint(0, 256, (EVALUATED, 3, SIZE, SIZE), dtype=torch.uint8)
        self.labels = random_labels(BATCH, len(CLASS_NAMES))
        self.rows: list[dict[str, object]] = []

    def row(self, work: str, ours: Timing, reference: Timing, wanted: float | None = None) -> None:
        ratio = reference.median / ours.median
        self.rows.append(
            {"work": work, "ratio": ratio, "wanted": wanted, "ours": asdict(ours), "released": asdict(reference)}
        )
        bar = "" if wanted is None else f"{wanted:g}x"
        print(f"{work:<52}{ratio:>7.1f}x{bar:>8}   {ours!s:<32}{reference}", flush=True)

    def images(self, backbone: Backbone, count: int = BATCH) -> Tensor:
        return backbone.preprocessing.normalise(self.pixels[:count], backbone.dtype)

    def step(self, recognizer: Recognizer, regions: Callable[[], Tensor]) -> Callable[[], None]:
        """One training step as `promptmlr.training.fit` makes it."""
        optimizer = torch.optim.Adam(recognizer.parameters(), lr=1e-3)

        def step() -> None:
            loss = asymmetric_loss(recognizer(regions()), self.labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        return step

    def released_step(self, model: torch.nn.Module, backbone: Backbone) -> Callable[[], Tensor]:
        optimizer = torch.optim.SGD(released.learned_tensors(model), lr=1e-3, momentum=0.9)
        return lambda: released.train_step(model, optimizer, self.images(backbone), self.labels)


def stored_regions(backbone: Backbone, cache: Path) -> Callable[[], Tensor]:
    """The next batch of random regions from a store on disk, float16, each in an order of its own."""
    store = RegionStore(cache, backbone, "float16")
    with store.writing(Reporter()):
        for batch in index_batches(STORED, BATCH):
            regions = torch.randn(len(batch), backbone.regions, backbone.feature_width)
            store.append([int(index).to_bytes(32) for index in batch], regions)
    order = np.random.default_rng(1)
    plan = [order.permutation(STORED)[:BATCH] for _ in range(100)]
    batches = StoredRegions(store, np.arange(STORED)[None]).batches(plan)
    return lambda: next(batches)[1]


def help_seconds() -> Timing:
    """`promptmlr --help` in a new process, which must not import torch."""
    return Timing.of(
        lambda: subprocess.run([sys.executable, "-c", HELP], check=True, stdout=subprocess.DEVNULL), runs=OURS
    )


def measure(bench: Bench, cache: Path) -> None:
    exact = random_backbone(MODEL, SIZE, *tower_dtypes("auto"))
    fast = random_backbone(MODEL, SIZE, *tower_dtypes("bfloat16"))
    clip = released.open_text_tower(bare_model(MODEL))
    stored = stored_regions(exact, cache)

    def ours(method: str, backbone: Backbone, class_specific: bool = True) -> Recognizer:
        return create_recognizer(
            method, backbone, CLASS_NAMES, context_length=CONTEXT, class_specific=class_specific, offset="zero"
        )

    def reference(class_specific: bool) -> torch.nn.Module:
        side = ours("positivecoop", exact, class_specific)
        prompt = side.presence
        return released.ReleasedCosine(
            clip,
            released.ReleasedPrompt(clip, CLASS_NAMES, prompt.context.detach(), prompt.offset.detach()),
            released.ReleasedEmbedding(side.absence.embedding.detach()),
        )

    print(f"{'work':<52}{'ratio':>8}{'wanted':>8}   {'ours':<32}released", flush=True)
    own, shared = reference(True), reference(False)
    released_own = Timing.of(bench.released_step(own, exact), REFERENCE, warm_up=False)
    step = Timing.of(bench.step(ours("positivecoop", exact), stored), OURS)
    bench.row("PositiveCoOp step from the store, own contexts", step, released_own, 25)
    released_shared = Timing.of(bench.released_step(shared, exact), REFERENCE, warm_up=False)
    step = Timing.of(bench.step(ours("positivecoop", exact, False), stored), OURS)
    bench.row("PositiveCoOp step from the store, shared contexts", step, released_shared, 80)
    weight, bias = torch.randn(2 * len(CLASS_NAMES), exact.feature_width) / 20, torch.zeros(2 * len(CLASS_NAMES))
    baseline = released.ReleasedBaseline(clip, weight, bias)
    step = Timing.of(bench.step(ours("baseline", exact), stored), OURS)
    released_baseline = Timing.of(bench.released_step(baseline, exact), REFERENCE, warm_up=False)
    bench.row("Baseline step from the store", step, released_baseline, 200)
    made = bench.step(ours("positivecoop", fast), lambda: fast.encode_image(bench.images(fast)))
    bench.row("PositiveCoOp step, exact mode, --dtype bfloat16", Timing.of(made, OURS), released_own, 4)

    images = bench.images(exact, EVALUATED)
    released_evaluation = Timing.of(lambda: released.evaluate(own, images, BATCH), REFERENCE, warm_up=False)

    def fresh(backbone: Backbone) -> Iterator[Tensor]:
        for batch in bench.pixels.split(BATCH):
            yield backbone.encode_image(backbone.preprocessing.normalise(batch, backbone.dtype))

    evaluation = Timing.of(lambda: evaluate(ours("positivecoop", fast), fresh(fast)), OURS)
    bench.row(f"evaluation of {EVALUATED} images, --dtype bfloat16", evaluation, released_evaluation, 4)
    evaluation = Timing.of(lambda: evaluate(ours("positivecoop", exact), fresh(exact)), REFERENCE, warm_up=False)
    bench.row(f"evaluation of {EVALUATED} images, --dtype auto", evaluation, released_evaluation)
    kept = (stored() for _ in itertools.count())
    evaluation = Timing.of(
        lambda: evaluate(ours("positivecoop", exact), itertools.islice(kept, EVALUATED // BATCH)), OURS
    )
    bench.row(f"evaluation of {EVALUATED} images from the store", evaluation, released_evaluation)


@torch.no_grad()
def evaluate(recognizer: Recognizer, batches: Iterable[Tensor]) -> Tensor:
    """As `promptmlr evaluate`: text once, then batches of regions."""
    folded = recognizer.fold()
    return torch.cat([presence_probability(folded(regions)) for regions in batches])


def products_per_second(dtype: torch.dtype) -> float:
    """Of two square matrices: what this processor can do at all."""
    matrix = torch.randn(2048, 2048).to(dtype)
    return 1 / Timing.of(lambda: matrix @ matrix, 9).median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=None, help="of torch, on both sides; default: torch's own")
    threads = parser.parse_args().threads
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    begin = time.perf_counter()
    bench = Bench()
    asked = help_seconds()
    print(f"promptmlr --help: {asked}, at most 0.5 s wanted, without importing torch", flush=True)
    with tempfile.TemporaryDirectory() as cache:
        measure(bench, Path(cache))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # of Linux, in KiB
    print(f"peak memory {peak:.1f} GiB, three towers of RN101 and the released step included; ", end="")
    print(f"{(time.perf_counter() - begin) / 60:.1f} minutes in all")
    gain = products_per_second(torch.bfloat16) / products_per_second(torch.float32)
    print(f"this processor multiplies matrices {gain:.1f} times faster in bfloat16 than in float32")
    machine = {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bfloat16_gain": gain,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    results = {"machine": machine, "help": asdict(asked), "peak_gib": peak, "rows": bench.rows}
    Path(__file__).with_name("results.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
