"""What bfloat16 towers do to results: python bench/precision.py [--workers 2]

On the drawn world and its miniature CLIP, never on random weights. Image tower: the regions of 400 test scenes, their
zero-shot logits and mAP. Text tower: final mAP of methods with prompts over seeds, paired by seed, observed fraction
and mask; bfloat16 minus float32 with a 95 % interval of the mean (normal approximation).
"""

import argparse
import itertools
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import numpy as np
import torch

from promptmlr.backbone import Backbone, load_backbone
from promptmlr.data import DataOptions, LabelledImages, load_data
from promptmlr.labels import hide, keep_mask
from promptmlr.methods import create_recognizer
from promptmlr.pipeline import score_on
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, InMemoryRegions, extract
from promptmlr.training import fit

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
METHODS = ("positivecoop", "dualcoop")
FRACTIONS = (0.1, 0.9)
SEEDS = range(5)
TEST = DataOptions(scenes_test=400)


@cache
def backbone(dtype: str, text_dtype: str) -> Backbone:
    return load_backbone("scenes", dtype=DTYPES[dtype], text_dtype=DTYPES[text_dtype])


@cache
def regions(purpose: str, dtype: str) -> tuple[InMemoryRegions, LabelledImages]:
    data = load_data("scenes", purpose=purpose, options=TEST)
    _, source = extract(FreshRegions(backbone(dtype, "float32"), data.images))
    return InMemoryRegions(source.regions.float()), data


def trained_map(task: tuple[str, str, float, int]) -> float:
    """mAP on the test scenes, with a text tower of a dtype."""
    torch.set_num_threads(1)
    text_dtype, method, fraction, seed = task
    source, data = regions("train", "float32")
    tested, test = regions("test", "float32")
    recipe = load_recipe("default", method)
    known = hide(data.labels, keep_mask(data.labels.shape, fraction, seed))
    tower = backbone("float32", text_dtype)
    recognizer = create_recognizer(method, tower, data.class_names, seed=seed, **recipe.start_options())
    fit(recognizer, source, known, recipe, order_seed=seed)
    return 100 * score_on(tested, test.labels)(recognizer.fold())


@torch.no_grad()
def image_tower() -> None:
    (exact, data), (rounded, _) = regions("test", "float32"), regions("test", "bfloat16")
    recognizer = create_recognizer("zeroshot", backbone("float32", "float32"), data.class_names)
    cosines = torch.nn.functional.cosine_similarity(exact.regions, rounded.regions, dim=-1)
    difference = (recognizer(exact.regions) - recognizer(rounded.regions)).abs()
    scores = [100 * score_on(source, data.labels)(recognizer) for source in (exact, rounded)]
    print("image tower in bfloat16, batch norms folded, against float32, zero-shot on", len(data.labels), "scenes:")
    print(f"  cosine of regions: mean {cosines.mean():.5f}, least {cosines.min():.5f}")
    print(f"  logits differ by {difference.mean():.3f} on average, {difference.max():.3f} at most (they span ±100)")
    print(f"  mAP {scores[0]:.2f} in float32, {scores[1]:.2f} in bfloat16", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--image-tower", action="store_true", help="only the image tower")
    asked = parser.parse_args()
    image_tower()
    if asked.image_tower:
        return
    tasks = list(itertools.product(DTYPES, METHODS, FRACTIONS, SEEDS))
    with ProcessPoolExecutor(asked.workers) as pool:
        scores = dict(zip(tasks, pool.map(trained_map, tasks), strict=True))
    print("text tower in bfloat16 minus float32, mAP points after training:")
    for method, fraction in itertools.product(METHODS, FRACTIONS):
        exact, rounded = (np.array([scores[dtype, method, fraction, seed] for seed in SEEDS]) for dtype in DTYPES)
        difference = rounded - exact
        half = 1.96 * difference.std(ddof=1) / len(difference) ** 0.5
        print(
            f"  {method}, {fraction:.0%} observed: {difference.mean():+.2f} ± {half:.2f} "
            f"(float32 {exact.mean():.1f}, spread over seeds {exact.std(ddof=1):.2f})"
        )


if __name__ == "__main__":
    main()
