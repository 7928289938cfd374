"""What training several runs side by side saves: python bench/stacking.py

T runs of a method on the same region batches, at once (`fit_runs`) and one by one (`fit`); the ratio of the times,
medians of several rounds in turn. On the drawn world with its miniature CLIP, and on synthetic regions of COCO's size.
"""

import argparse
import copy
import statistics
import time

import numpy as np
import torch

from promptmlr.backbone import load_backbone
from promptmlr.methods import create_recognizer
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import InMemoryRegions
from promptmlr.scenes import CLASS_NAMES
from promptmlr.sides import EmbeddingSide, LinearSide
from promptmlr.training import TrainingRun, fit, fit_runs

ROUNDS = 3
METHODS = ("baseline", "dualembedding", "positivecoop", "dualcoop")


def scenes_recognizer(method: str, seed: int) -> Recognizer:
    recipe = load_recipe("default", method)
    return create_recognizer(method, load_backbone("scenes"), CLASS_NAMES, seed=seed, **recipe.start_options())


def coco_recognizer(method: str, seed: int) -> Recognizer:
    side = {"baseline": LinearSide, "dualembedding": EmbeddingSide}[method]
    names = [f"class {index}" for index in range(80)]
    sides = [side.random(80, 512, seed, name) for name in ("presence", "absence")]
    return Recognizer(*sides, names, "own" if method == "baseline" else "presence")


def seconds(runs: list[TrainingRun], source: InMemoryRegions, together: bool) -> float:
    runs = copy.deepcopy(runs)
    begin = time.perf_counter()
    if together:
        fit_runs(runs, source)
    else:
        for run in runs:
            fit(run.recognizer, source, run.labels, run.recipe)
    return time.perf_counter() - begin


def measure(create, method: str, count: int, shape: tuple[int, int, int], steps: int) -> tuple[float, float, float]:
    rng = np.random.default_rng(0)
    batch = 32
    source = InMemoryRegions(torch.from_numpy(rng.normal(size=(batch * steps, *shape[1:])).astype(np.float32)))
    recipe: Recipe = load_recipe("default", method, epochs=1, batch_size=batch)
    labels = rng.integers(-1, 2, size=(batch * steps, shape[0])).astype(np.int8)
    runs = [TrainingRun(create(method, seed), labels, recipe) for seed in range(count)]
    ratios = []
    for _ in range(ROUNDS):
        alone, joint = seconds(runs, source, together=False), seconds(runs, source, together=True)
        ratios.append(alone / joint)
    return statistics.median(ratios), min(ratios), max(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default="4,12")
    counts = [int(count) for count in parser.parse_args().runs.split(",")]
    print(f"{'size':<8} {'method':<14} {'runs':>4}  one by one / at once (min to max)")
    cases = [("scenes", scenes_recognizer, METHODS, (len(CLASS_NAMES), 17, 128), 10)]
    cases.append(("COCO", coco_recognizer, METHODS[:2], (80, 197, 512), 2))
    for size, create, methods, shape, steps in cases:
        for method in methods:
            for count in counts:
                middle, low, high = measure(create, method, count, shape, steps)
                print(f"{size:<8} {method:<14} {count:>4}  {middle:.2f} ({low:.2f} to {high:.2f})", flush=True)


if __name__ == "__main__":
    main()
