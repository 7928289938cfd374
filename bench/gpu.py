"""What one GPU does with promptmlr, in at most eight minutes: python bench/gpu.py [--device cuda] [--small]

Image towers, steps of every method at the size of COCO 2014, and from both the time of the paper's table on it
(bench/projection.py says how). Weights, regions and labels are random: costs do not depend on values. Beside each rate
stands how much of the time the floor is: the FLOPs of matrix products and convolutions over the rate of products of
large matrices here, or the least number of bytes over the rate of a copy here, whichever takes longer. Steps are
watched with torch.cuda.set_sync_debug_mode; one that waits for the device is named, and the command ends with exit code
1. What there was no time for is said. Writes bench/gpu.json. `--device cpu --small` tries it on the miniature CLIP.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from device import (
    Budget,
    Rates,
    Timed,
    forget_peak,
    measured_rates,
    peak_gib,
    timed,
    waits_noted,
    watch_waits,
)
from overlap import draw_photos
from projection import Projection, Stack, StackSeconds, projected, stacks_of
from random_towers import CLASS_NAMES, random_backbone
from torch import Tensor

from promptmlr.augmentation import Augmentation
from promptmlr.backbone import Backbone
from promptmlr.backbone.base import checked_device
from promptmlr.data.images import ImageFile
from promptmlr.files import write_text
from promptmlr.labels import UNKNOWN
from promptmlr.losses import LOSSES
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.paper.cost.counting import count_flops, seconds_now
from promptmlr.paper.cost.measuring import RELEASED_METHODS, image_flops
from promptmlr.paper.grid.benchmarks import BENCHMARKS
from promptmlr.paper.grid.scoring import mean_aps
from promptmlr.prior.fitting import begin_run
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import InMemoryRegions, SelectedRegions
from promptmlr.sides import PromptSide
from promptmlr.training import Prior, TrainingRun, fit_runs

MINUTES = 8.0
SHARES = {"rates": 0.05, "towers": 0.35, "steps": 0.45, "decoding": 0.05}  # of the time; the rest is for slow starts
PREVALENCE = 0.036  # of COCO's labels: 2.9 of 80 classes in an image
STRENGTH = 1_000.0  # of the prior, if random labels choose an infinite one, which trains nothing
WARM_STEPS = 3


@dataclass(frozen=True)
class Size:
    """Everything that --small makes smaller."""

    towers: tuple[tuple[str, int], ...]  # name, pixels; the first one's text tower and regions are those of the steps
    batches: tuple[int, ...]
    images: int
    test_images: int
    observed: tuple[float, ...]
    class_names: tuple[str, ...]
    side: int  # of matrices
    copied: int  # bytes
    photos: int
    seconds: float  # of every measurement


COCO = BENCHMARKS["coco2014"]
FULL = Size(
    towers=(("RN101", 448), ("RN50", 224), ("ViT-B-32", 224), ("ViT-B-16", 448), ("ViT-L-14-336", 336)),
    batches=(32, 128, 256, 512),
    images=COCO.train_images["annotated"],
    test_images=COCO.test_images["annotated"],
    observed=tuple(tenths / 10 for tenths in range(1, 10)),
    class_names=tuple(CLASS_NAMES),
    side=8192,
    copied=1 << 32,
    photos=96,
    seconds=2.0,
)
SMALL = replace(
    FULL,
    towers=(("scenes", 128),),
    batches=(2, 4),
    images=256,
    test_images=128,
    observed=(0.1, 0.9),
    class_names=tuple(CLASS_NAMES[:6]),
    side=256,
    copied=1 << 20,
    photos=2,
    seconds=0.02,
)


@dataclass(frozen=True)
class TowerRow:
    """A tower at one batch size."""

    tower: str
    pixels: int
    batch: int
    images_per_second: float
    share_of_floor: float
    gflops_per_image: float
    peak_gib: float | None
    waits: tuple[str, ...] | None


@dataclass(frozen=True)
class StepRow:
    """A step of some cells of a method at once."""

    method: str
    cells: int
    batch: int
    steps_per_second: float
    share_of_floor: float
    text_gflops: float
    head_gflops: float
    begin_seconds: float  # before the first epoch, of one cell: what chooses the strength of its prior
    score_seconds: float  # of all test images after an epoch, of all cells
    peak_gib: float | None  # with the regions of all images
    waits: tuple[str, ...] | None


Row = TypeVar("Row", TowerRow, StepRow)


class Towers:
    """Images per second of image towers in bfloat16: decoded pixels, on the device already."""

    def __init__(self, size: Size, device: torch.device, rates: Rates) -> None:
        self.size, self.device, self.rates = size, device, rates

    def rows(self, name: str, pixels: int, budget: Budget) -> Iterator[TowerRow]:
        """One at every batch size that there is time and memory for."""
        measure = None
        for batch in self.size.batches:
            case = f"{name} at {pixels} px, {batch} images at once"
            if not budget.has_time(case):
                continue
            try:
                measure = measure or self._opened(name, pixels)
                yield measure(batch)
            except torch.OutOfMemoryError:
                budget.left_out.append(f"{case}: out of memory")

    def _opened(self, name: str, pixels: int) -> Callable[[int], TowerRow]:
        backbone = random_backbone(name, pixels, torch.bfloat16, device=self.device)
        flops = image_flops(backbone)
        return lambda batch: self._row(backbone, self._pixels(batch, pixels), flops)

    def _pixels(self, batch: int, side: int) -> Tensor:
        return torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, device=self.device)

    def _row(self, backbone: Backbone, images: Tensor, flops: int) -> TowerRow:
        forget_peak(self.device)
        found = timed(lambda: _encode(backbone, images), self.device, self.size.seconds)
        regions = 2 * len(images) * backbone.regions * backbone.feature_width
        floor = self.rates.floor({"bfloat16": len(images) * flops}, images.nbytes + regions)
        return TowerRow(
            backbone.name,
            images.shape[-1],
            len(images),
            len(images) / found.seconds,
            floor / found.seconds,
            flops / 1e9,
            peak_gib(self.device),
            found.waits,
        )


def _encode(backbone: Backbone, images: Tensor) -> Tensor:
    return backbone.encode_image(backbone.preprocessing.normalise(images, backbone.dtype))


class Steps:
    """Steps of `fit_runs` on random regions (N, R, D) that lie on the device in bfloat16."""

    def __init__(self, size: Size, device: torch.device, rates: Rates) -> None:
        self.size, self.device, self.rates = size, device, rates
        self.backbone = random_backbone(*size.towers[0], torch.bfloat16, device=device)
        shape = size.images, self.backbone.regions, self.backbone.feature_width
        regions = torch.empty(shape, dtype=torch.bfloat16, device=device)
        for some in regions.split(4096):
            some.normal_()
        self.source = InMemoryRegions(regions)
        self.draw = np.random.default_rng(0)
        present = self.draw.random((size.images, len(size.class_names))) < PREVALENCE
        self.labels = present.astype(np.int8)

    def row(self, stack: Stack) -> StepRow:
        forget_peak(self.device)
        recognizers = [
            create_recognizer(stack.method, self.backbone, self.size.class_names, seed=seed, **recipe.start_options())
            for seed, recipe in enumerate(stack.recipes)
        ]
        text, head, moved = map(sum, zip(*map(self._cost, recognizers, stack.recipes), strict=True))
        begin = seconds_now(self.device)
        runs = [self._begun(*cell) for cell in zip(recognizers, stack.recipes, stack.observed, strict=True)]
        begun = seconds_now(self.device) - begin
        found = self._step(runs)
        batch = stack.recipes[0].batch_size
        moved += batch * self.source.regions[0].nbytes
        floor = self.rates.floor({str(self.backbone.text.dtype).removeprefix("torch."): text, "float32": head}, moved)
        return StepRow(
            stack.method,
            len(runs),
            batch,
            1 / found.seconds,
            floor / found.seconds,
            text / 1e9,
            head / 1e9,
            begun / len(runs) if stack.recipes[0].has_prior else 0.0,
            self._score(recognizers),
            peak_gib(self.device),
            found.waits,
        )

    def _cost(self, recognizer: Recognizer, recipe: Recipe) -> tuple[int, int, int]:
        """FLOPs of texts and of everything else in a step, and bytes that learned tensors and optimizer move."""
        sides = [side for side in (recognizer.presence, recognizer.absence) if isinstance(side, PromptSide)]
        text = sum(count_flops(lambda side=side: side.class_vectors().sum().backward()) for side in sides)
        recognizer.zero_grad(set_to_none=True)
        states = 1 if recipe.optimizer == "sgd" else 2
        moved = 8 * (1 + states) * recognizer.learned_parameters()  # each float32 is read and written
        return text, head_flops(recognizer, recipe, self.source.regions[: recipe.batch_size]), moved

    def _begun(self, recognizer: Recognizer, recipe: Recipe, observed: float) -> TrainingRun:
        hidden = self.draw.random(self.labels.shape) >= observed
        run = begin_run(recognizer, self.source, np.where(hidden, np.int8(UNKNOWN), self.labels), recipe).run
        endless = run.prior is not None and run.prior.infinite
        return replace(run, prior=Prior.of(recognizer, STRENGTH)) if endless else run

    def _step(self, runs: Sequence[TrainingRun]) -> Timed:
        """A few steps tell how many the measurement should have."""
        few = self._some_steps(runs, WARM_STEPS + 5).seconds
        return self._some_steps(runs, WARM_STEPS + min(max(round(self.size.seconds / few), 5), 2_000))

    def _some_steps(self, runs: Sequence[TrainingRun], count: int) -> Timed:
        """Of so many steps all but the first few, which compile, allocate, and bring the labels to the device."""
        images = self.draw.integers(0, self.size.images, count * runs[0].recipe.batch_size)
        once = {"epochs": 1, "warmup_epochs": 0}
        shown = [
            TrainingRun(run.recognizer, run.labels[images], run.recipe.model_copy(update=once), prior=run.prior)
            for run in runs
        ]
        marks: list[float] = []

        def on_step(done: int, planned: int) -> None:
            if done == planned:
                watch_waits(self.device, False)
            if done in (WARM_STEPS, planned):
                marks.append(seconds_now(self.device))
            if done == WARM_STEPS:
                watch_waits(self.device, True)

        with waits_noted() as waits:
            fit_runs(shown, SelectedRegions(self.source, images), on_step=on_step)
        return Timed(
            (marks[1] - marks[0]) / (count - WARM_STEPS),
            tuple(sorted(set(waits))) if self.device.type == "cuda" else None,
        )

    def _score(self, recognizers: Sequence[Recognizer]) -> float:
        """Seconds of scoring the test images once, as after every epoch."""
        rows = np.arange(self.size.test_images)
        begin = seconds_now(self.device)
        folded = [recognizer.fold() for recognizer in recognizers]
        mean_aps(folded, SelectedRegions(self.source, rows), self.labels[rows])
        return seconds_now(self.device) - begin


def head_flops(recognizer: Recognizer, recipe: Recipe, regions: Tensor) -> int:
    """FLOPs of maps, aggregation and loss of a batch (B, R, D), forward and backward, without the text tower."""
    folded = recognizer.fold()
    labels = torch.ones(len(regions), len(folded.class_names), dtype=torch.int8, device=regions.device)
    return count_flops(lambda: LOSSES[recipe.loss].cost(folded(regions), labels).sum().backward())


def decoded_per_second(backbone: Backbone, photos: int) -> dict[str, float]:
    """Photos of 640 × 480 pixels that one core decodes in a second, as they are and with the paper's augmentation."""
    preprocessing, views = backbone.preprocessing, Augmentation(0)
    with tempfile.TemporaryDirectory() as folder:
        draw_photos(Path(folder), photos)
        images = [ImageFile(path) for path in sorted(Path(folder).iterdir())]
        begin = time.perf_counter()
        for image in images:
            preprocessing.pixels(image.open())
        plain = time.perf_counter()
        for index, image in enumerate(images):
            preprocessing.pixels(views(preprocessing.resized(image.open()), 0, index))
        end = time.perf_counter()
    return {"plain": photos / (plain - begin), "augmented": photos / (end - plain)}


@dataclass
class Bench:
    """Everything measured so far."""

    size: Size
    device: torch.device
    budget: Budget

    def run(self) -> dict[str, Any]:
        """All parts, each within its share of the time."""
        size, device, budget = self.size, self.device, self.budget
        budget.part(SHARES["rates"])
        rates = measured_rates(device, size.side, size.copied, size.seconds / 4)
        print(rates_line(rates), flush=True)
        budget.part(SHARES["towers"])
        towers = Towers(size, device, rates)
        tower_rows = [row for tower in size.towers for row in shown(towers.rows(*tower, budget))]
        budget.part(SHARES["steps"])
        steps, step_rows = Steps(size, device, rates), {}
        for stack in stacks_to_measure(size.observed):
            if stack.shape not in step_rows and budget.has_time(f"{stack.method}, {len(stack.recipes)} at once"):
                (step_rows[stack.shape],) = shown([steps.row(stack)])
        budget.part(SHARES["decoding"])
        decoding = decoded_per_second(steps.backbone, size.photos) if budget.has_time("decoding") else {}
        seconds = {
            shape: StackSeconds(1 / row.steps_per_second, row.score_seconds, row.cells * row.begin_seconds)
            for shape, row in step_rows.items()
        }
        best = max((row.images_per_second for row in tower_rows if row.tower == size.towers[0][0]), default=None)
        tables = {
            name: projected(stacks, seconds, size.images, size.test_images, best)
            for name, stacks in tables_of(size.observed).items()
        }
        return {
            "rates": asdict(rates),
            "towers": [asdict(row) for row in tower_rows],
            "steps": [asdict(row) for row in step_rows.values()],
            "decoding": decoding,
            "tables": {name: asdict(table) for name, table in tables.items()},
            "left_out": budget.left_out,
        }


def tables_of(observed: Sequence[float]) -> dict[str, list[Stack]]:
    """The paper's table, and that of the methods which it does not have."""
    others = [name for name, row in METHOD_TABLE.items() if row.trained and name not in RELEASED_METHODS]
    methods = {"the paper's table": RELEASED_METHODS} | {f"{name} beside it": (name,) for name in others}
    return {name: [stack for one in some for stack in stacks_of(one, observed)] for name, some in methods.items()}


def stacks_to_measure(observed: Sequence[float]) -> list[Stack]:
    """Of every method first one cell, then all stacks of its tables."""
    trained = [name for name, row in METHOD_TABLE.items() if row.trained]
    alone = [stacks_of(name, observed[-1:])[0] for name in trained]
    return [*alone, *(stack for table in tables_of(observed).values() for stack in table)]


def rates_line(rates: Rates) -> str:
    return (
        f"products: {rates.bfloat16 / 1e12:.3g} TFLOP/s in bfloat16, {rates.float32 / 1e12:.3g} in float32; copies: "
        f"{rates.memory / 1e9:.3g} GB/s on the device, {rates.from_host / 1e9:.3g} GB/s to it"
    )


def shown(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, each said as soon as it is there, because the machine may be gone before the end."""
    for row in rows:
        print(row_line(row), flush=True)
        yield row


def row_line(row: TowerRow | StepRow) -> str:
    peak = "–" if row.peak_gib is None else f"{row.peak_gib:.1f} GiB"
    waits = "not watched" if row.waits is None else ", ".join(row.waits) or "none"
    if isinstance(row, TowerRow):
        name, rate, unit = f"{row.tower} at {row.pixels} px", row.images_per_second, "images/s"
        size = f"{row.batch} images"
    else:
        name, rate, unit = row.method, row.steps_per_second, "steps/s"
        size = f"{row.cells} × {row.batch} images"
    return f"{name:<24}{size:>16}{rate:>12,.1f} {unit:<9}  floor {row.share_of_floor:>5.1%}{peak:>12}  waits: {waits}"


def summary(found: dict[str, Any]) -> str:
    """The tables at the end."""
    lines = ["", "image towers, bfloat16", *(row_line(TowerRow(**row)) for row in found["towers"])]
    lines += ["", "training steps, regions on the device", *(row_line(StepRow(**row)) for row in found["steps"])]
    lines += [
        "",
        "projected hours          training  scoring  tower, views exact  tower, images once    all, exact  once",
    ]
    for name, table in found["tables"].items():
        table = Projection(**table)
        work = table.training + table.scoring
        lines.append(
            f"{name:<25}{table.training:>8.3f}{table.scoring:>9.3f}{table.views_tower:>20.3f}{table.once_tower:>20.3f}"
            f"{work + table.views_tower:>14.3f}{work + table.once_tower:>6.3f}"
        )
        if found["decoding"]:
            hours = table.views_encoded / found["decoding"]["augmented"] / 3600
            lines.append(f"  decoding and augmenting its {table.views_encoded:,} views: {hours:.1f} hours of one core")
        if table.unmeasured:
            lines.append(f"  these hours leave out what was not measured: {', '.join(table.unmeasured)}")
    lines += ["", f"left out: {'; '.join(found['left_out']) or 'nothing'}"]
    return "\n".join(lines)


def machine(device: torch.device) -> dict[str, str]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {"device": name, "torch": torch.__version__, "python": platform.python_version()}


def main() -> None:
    begin = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="the miniature CLIP and few images: to try the command")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="after which no new measurement begins")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "gpu.json")
    asked = parser.parse_args()
    device = checked_device(asked.device)
    torch.manual_seed(0)
    here = machine(device)
    print(", ".join(here.values()), flush=True)
    found = Bench(SMALL if asked.small else FULL, device, Budget(60 * asked.minutes)).run()
    found |= {"machine": here, "seconds": time.perf_counter() - begin}
    print(summary(found))
    write_text(asked.out, json.dumps(found, indent=2) + "\n")
    print(f"{asked.out} in {found['seconds']:.0f} s")
    waiting = [row for row in [*found["towers"], *found["steps"]] if row["waits"]]
    if waiting:
        sys.exit(f"{len(waiting)} of the measured works wait for the device; the lines are beside them")


if __name__ == "__main__":
    main()
