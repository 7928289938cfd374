"""Where rates and epochs of `recipes/default.toml` come from: python bench/rates.py [--workers 2] [--only rates|epochs]

One rule for all methods. For rates: a rate belongs to a kind of tensor, so it is measured on the method that has
nothing else: contexts on dualcoop, embeddings on dualembedding (from both starts), linear layers on baseline. For
every rate of the grid, observed fraction and seed, a fifth of the *observed* training labels of the drawn world is
held out, the method is trained on the others, and mAP is taken on the held-out ones; the rate with the best mean wins.
For epochs: the same held-out mAP of whole methods, over epochs, with the seconds that they took. No test label is
looked at.
"""

import argparse
import itertools
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from promptmlr.backbone import load_backbone
from promptmlr.data import load_data
from promptmlr.labels import hide, hold_out, keep_mask
from promptmlr.methods import create_recognizer
from promptmlr.pipeline import score_on
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, InMemoryRegions, extract
from promptmlr.training import TrainingRun, fit_runs

FRACTIONS = (0.1, 0.9)
SEEDS = (0, 1)
GRID = {
    "context_rate": ("dualcoop", ("agnostic",), (2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)),
    "embedding_rate": ("dualembedding", ("agnostic", "text"), (5e-3, 1e-2, 2e-2, 5e-2, 1e-1)),
    "linear_rate": ("baseline", ("agnostic",), (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)),
}
EPOCHS = {"positivecoop": (10, 20, 40), "dualembedding": (10, 20, 40, 80)}
EPOCH_FRACTIONS = (0.1, 0.3, 0.9)


@dataclass(frozen=True)
class Task:
    """A method with changes to its recipe, an observed fraction, and seeds that are trained side by side."""

    method: str
    changes: tuple[tuple[str, Any], ...]
    fraction: float
    seeds: tuple[int, ...]


@cache
def world() -> tuple[InMemoryRegions, np.ndarray, tuple[str, ...]]:
    data = load_data("scenes", purpose="train")
    _, regions = extract(FreshRegions(load_backbone("scenes"), data.images))
    return regions, data.labels, data.class_names


def held_out(task: Task) -> tuple[float, float]:
    """Mean held-out mAP, and seconds of training per seed."""
    torch.set_num_threads(1)
    regions, labels, names = world()
    recipe = load_recipe("default", task.method, **dict(task.changes))
    parted = [hold_out(hide(labels, keep_mask(labels.shape, task.fraction, seed)), 0.2, seed) for seed in task.seeds]
    runs = [
        TrainingRun(
            create_recognizer(task.method, load_backbone("scenes"), names, seed=seed, **recipe.start_options()),
            known,
            recipe,
        )
        for seed, (known, _) in zip(task.seeds, parted, strict=True)
    ]
    begin = time.perf_counter()
    fit_runs(runs, regions)
    seconds = (time.perf_counter() - begin) / len(runs)
    scores = [score_on(regions, held)(run.recognizer.fold()) for run, (_, held) in zip(runs, parted, strict=True)]
    return float(np.mean(scores)), seconds


def measured(tasks: list[Task], workers: int) -> dict[Task, tuple[float, float]]:
    with ProcessPoolExecutor(workers) as pool:
        return dict(zip(tasks, pool.map(held_out, tasks), strict=True))


def rates(workers: int) -> None:
    def task(kind: str, start: str, rate: float, fraction: float) -> Task:
        return Task(GRID[kind][0], (("start", start), (kind, rate)), fraction, SEEDS)

    found = measured(
        [
            task(kind, start, rate, fraction)
            for kind, (_, starts, rates) in GRID.items()
            for start, rate, fraction in itertools.product(starts, rates, FRACTIONS)
        ],
        workers,
    )
    for kind, (method, starts, rates) in GRID.items():
        shares = ", ".join(f"{fraction:.0%}" for fraction in FRACTIONS)
        print(f"\n{kind}, measured on {method}: held-out mAP at {shares} observed, mean")
        means = {}
        for rate in rates:
            cells = [
                100 * np.mean([found[task(kind, start, rate, fraction)][0] for start in starts])
                for fraction in FRACTIONS
            ]
            means[rate] = np.mean(cells)
            print(f"  {rate:<8g}" + "".join(f"{cell:8.1f}" for cell in cells) + f"{means[rate]:8.2f}", flush=True)
        print(f"  best: {max(means, key=means.get):g}")


def epochs(workers: int) -> None:
    tasks = [
        Task(method, (("epochs", count),), fraction, SEEDS)
        for method, counts in EPOCHS.items()
        for count, fraction in itertools.product(counts, EPOCH_FRACTIONS)
    ]
    found = measured(tasks, workers)
    shares = ", ".join(f"{fraction:.0%}" for fraction in EPOCH_FRACTIONS)
    for method, counts in EPOCHS.items():
        print(f"\n{method}, over epochs: held-out mAP at {shares} observed, and seconds of one run")
        for count in counts:
            cells = [found[Task(method, (("epochs", count),), fraction, SEEDS)] for fraction in EPOCH_FRACTIONS]
            scores = "".join(f"{100 * score:8.1f}" for score, _ in cells)
            print(f"  {count:<8}{scores}{np.median([seconds for _, seconds in cells]):10.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=("rates", "epochs"))
    options = parser.parse_args()
    for measure in (rates, epochs):
        if options.only in (None, measure.__name__):
            measure(options.workers)


if __name__ == "__main__":
    main()
