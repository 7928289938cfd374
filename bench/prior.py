"""What a prior costs: seconds of choosing its strength and of the fit, and their ratio, in one process.

    python bench/prior.py [--images 1000] [--observed 0.05,0.2,0.9] [--runs 5]

Passes are counted too: how many images go through the recognizer of a fold in choosing, in epochs of COCO's 82,081.
"""

import argparse
import statistics
import time

import torch

from promptmlr.backbone import load_backbone
from promptmlr.data import DataOptions, load_data
from promptmlr.labels import hide, keep_mask
from promptmlr.methods import create_recognizer
from promptmlr.prior.fitting import PATH_SAMPLE, begin_run
from promptmlr.prior.strength import EPOCHS, FOLDS, STRENGTHS
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, extract
from promptmlr.training import fit_runs

COCO = 82_081


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--observed", default="0.05,0.2,0.9")
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    backbone = load_backbone("scenes")
    data = load_data("scenes", options=DataOptions(scenes_train=asked.images))
    source = extract(FreshRegions(backbone, data.images))[1]
    recipe = load_recipe("default", "anchored")
    print(f"{asked.images:,} scenes, 20 classes, {torch.get_num_threads()} threads; medians of {asked.runs}")
    print("observed  choosing, s  fit, s  together, s  choosing / fit")
    for share in map(float, asked.observed.split(",")):
        chosen, fitted = [], []
        for seed in range(asked.runs):
            recognizer = create_recognizer("anchored", backbone, data.class_names, **recipe.start_options())
            labels = hide(data.labels, keep_mask(data.labels.shape, share, seed))
            begin = time.perf_counter()
            begun = begin_run(recognizer, source, labels, recipe, seed=seed)
            middle = time.perf_counter()
            fit_runs([begun.run], source)
            chosen.append(middle - begin)
            fitted.append(time.perf_counter() - middle)
        one, other = statistics.median(chosen), statistics.median(fitted)
        together = statistics.median(map(sum, zip(chosen, fitted, strict=True)))
        print(f"{share:8g}  {one:11.2f}  {other:6.2f}  {together:11.2f}  {one / other:14.2f}")
    passes = PATH_SAMPLE * EPOCHS * FOLDS * len(STRENGTHS)
    print(f"at COCO's size choosing takes at most {passes / COCO:.2f} epochs of passes, all folds counted")


if __name__ == "__main__":
    main()
