"""Where the rates of `recipes/default.toml` come from: python bench/rates.py [--workers 2]

One rule for all methods. A rate belongs to a kind of tensor, so it is measured on the method that has nothing else:
contexts on dualcoop, embeddings on dualembedding (from both starts), linear layers on baseline. For every rate of
the grid, observed fraction and seed, a fifth of the *observed* training labels of the drawn world is held out, the
method is trained on the others, and mAP is taken on the held-out ones; the rate with the best mean wins. No test label
is looked at.
"""

import argparse
import itertools
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import numpy as np
import torch

from promptmlr.backbone import load_backbone
from promptmlr.data import load_data
from promptmlr.labels import hide, hold_out, keep_mask
from promptmlr.methods import create_recognizer
from promptmlr.pipeline import score_on
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, InMemoryRegions, extract
from promptmlr.training import fit

FRACTIONS = (0.1, 0.9)
SEEDS = (0, 1)
GRID = {
    "context_rate": ("dualcoop", ("agnostic",), (2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)),
    "embedding_rate": ("dualembedding", ("agnostic", "text"), (5e-3, 1e-2, 2e-2, 5e-2, 1e-1)),
    "linear_rate": ("baseline", ("agnostic",), (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)),
}
Task = tuple[str, str, float, float, int]  # kind, start, rate, fraction, seed


@cache
def world() -> tuple[InMemoryRegions, np.ndarray, tuple[str, ...]]:
    data = load_data("scenes", purpose="train")
    _, regions = extract(FreshRegions(load_backbone("scenes"), data.images))
    return regions, data.labels, data.class_names


def held_out_map(task: Task) -> float:
    torch.set_num_threads(1)
    kind, start, rate, fraction, seed = task
    method = GRID[kind][0]
    regions, labels, names = world()
    recipe = load_recipe("default", method, start=start, **{kind: rate})
    known, held = hold_out(hide(labels, keep_mask(labels.shape, fraction, seed)), 0.2, seed)
    recognizer = create_recognizer(method, load_backbone("scenes"), names, seed=seed, **recipe.start_options())
    fit(recognizer, regions, known, recipe, order_seed=seed)
    return score_on(regions, held)(recognizer.fold())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    workers = parser.parse_args().workers
    tasks = [
        (kind, start, rate, fraction, seed)
        for kind, (_, starts, rates) in GRID.items()
        for start, rate, fraction, seed in itertools.product(starts, rates, FRACTIONS, SEEDS)
    ]
    with ProcessPoolExecutor(workers) as pool:
        scores = dict(zip(tasks, pool.map(held_out_map, tasks), strict=True))
    for kind, (method, starts, rates) in GRID.items():
        print(
            f"\n{kind}, measured on {method}: held-out mAP at {', '.join(f'{f:.0%}' for f in FRACTIONS)} observed, mean"
        )
        means = {}
        for rate in rates:
            cells = [
                100 * np.mean([scores[kind, start, rate, fraction, seed] for start in starts for seed in SEEDS])
                for fraction in FRACTIONS
            ]
            means[rate] = np.mean(cells)
            print(f"  {rate:<8g}" + "".join(f"{cell:8.1f}" for cell in cells) + f"{means[rate]:8.2f}", flush=True)
        print(f"  best: {max(means, key=means.get):g}")


if __name__ == "__main__":
    main()
