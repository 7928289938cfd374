"""What stored views cost in mAP and save in time: python bench/views.py [--seeds 8] [--images 600]

PositiveCoOp and Baseline on the drawn world's miniature CLIP, with the paper's augmentation and the default recipe's
rates. As many views of every image as there are epochs are encoded once, in float32. A run with K views draws from K of
them, exact shows another one in every epoch, none shows the images as they are. Each seed has its own mask, order
and choice of views, and is shared by all arms: differences to exact are paired, intervals are 95 % of Student's t.
Seconds are those of encoding plus training: K views are encoded once, exact ones in every epoch.
"""

import argparse
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.stats import t as student

from promptmlr.augmentation import Augmentation
from promptmlr.backbone import Backbone, load_backbone
from promptmlr.data import DataOptions, LabelledImages, load_data
from promptmlr.labels import hide, keep_mask
from promptmlr.methods import create_recognizer
from promptmlr.pipeline import score_on
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, InMemoryRegions, extract, index_batches
from promptmlr.training import fit

METHODS = ("positivecoop", "baseline")
ARMS = ("1", "2", "4", "8", "exact", "none")
OBSERVED = 0.5


class ChosenViews:
    """A source that shows view `table[epoch, i]` of image i; `views` is (V, N, R, D)."""

    def __init__(self, views: torch.Tensor, table: np.ndarray) -> None:
        self.views, self.table = views, table

    def __len__(self) -> int:
        return self.views.shape[1]

    def batches(self, plan: Sequence[np.ndarray], epoch: int = 0) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        for indices in plan:
            yield indices, self.views[self.table[epoch, indices], indices]


def encode_views(backbone: Backbone, data: LabelledImages, count: int) -> torch.Tensor:
    fresh = FreshRegions(backbone, data.images, augmentation=Augmentation(0))
    views = []
    for view in range(count):
        views.append(torch.cat([regions for _, regions in fresh.batches(index_batches(len(fresh), 32), view)]))
        print(f"view {view + 1} of {count}", flush=True)
    return torch.stack(views)


def table_of(arm: str, epochs: int, images: int, seed: int) -> np.ndarray:
    """(epochs, N) which view each epoch shows of each image."""
    rng = np.random.default_rng(seed)
    pool = rng.permuted(np.tile(np.arange(epochs), (images, 1)), axis=1).T  # every image has an order of its own
    if arm == "exact":
        return pool
    drawn = rng.integers(int(arm), size=(epochs, images))
    return np.take_along_axis(pool, drawn, axis=0)


def interval(values: Sequence[float]) -> str:
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{np.mean(values):6.2f} ± {half:4.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--images", type=int, default=600)
    options = parser.parse_args()
    backbone = load_backbone("scenes")
    data = load_data("scenes", purpose="train", options=DataOptions(scenes_train=options.images))
    tested = load_data("scenes", purpose="test")
    test_regions = extract(FreshRegions(backbone, tested.images))[1]
    plain = extract(FreshRegions(backbone, data.images))[1]
    epochs = load_recipe("default", METHODS[0]).epochs
    begin = time.perf_counter()
    views = encode_views(backbone, data, epochs)
    per_view = (time.perf_counter() - begin) / epochs

    for method in METHODS:
        recipe = load_recipe("default", method)
        scores: dict[str, list[float]] = {arm: [] for arm in ARMS}
        seconds: dict[str, list[float]] = {arm: [] for arm in ARMS}
        for seed in range(options.seeds):
            labels = hide(data.labels, keep_mask(data.labels.shape, OBSERVED, seed))
            for arm in ARMS:
                source = InMemoryRegions(plain.regions)
                if arm != "none":
                    source = ChosenViews(views, table_of(arm, epochs, len(plain), seed))
                recognizer = create_recognizer(method, backbone, data.class_names, seed=seed, **recipe.start_options())
                begin = time.perf_counter()
                fit(recognizer, source, labels, recipe, order_seed=seed)
                encoded = {"exact": epochs, "none": 1}.get(arm) or int(arm)
                seconds[arm].append(time.perf_counter() - begin + encoded * per_view)
                scores[arm].append(100 * score_on(test_regions, tested.labels)(recognizer.fold()))
            print(f"{method}: seed {seed + 1} of {options.seeds}", flush=True)
        print(f"\n{method}, {OBSERVED:.0%} observed, {options.images} images, {epochs} epochs, {options.seeds} seeds")
        print("views   test mAP         against exact    seconds")
        for arm in ARMS:
            against = [one - other for one, other in zip(scores[arm], scores["exact"], strict=True)]
            print(f"{arm:<8}{interval(scores[arm])}   {interval(against)}   {np.median(seconds[arm]):7.1f}", flush=True)
        print()


if __name__ == "__main__":
    main()
