"""Peak memory of training many classes: python bench/memory.py [--classes 1000 10000]

PositiveCoOp with contexts of its own for every class (M = 16) on ViT-B-32's text tower of random weights in float32,
three steps of Adam through `fit` over batches of 32 images of 50 regions. Every number of classes is measured in a
process of its own; the peak is that of the whole process, torch and the image tower included.
"""

import argparse
import resource
import subprocess
import sys
import time

import torch
from towers import CLASS_NAMES, random_backbone, random_labels

from promptmlr.methods import create_recognizer
from promptmlr.recipes import load_recipe
from promptmlr.regions import InMemoryRegions
from promptmlr.training import fit

STEPS, BATCH = 3, 32


def train(classes: int) -> None:
    backbone = random_backbone("ViT-B-32", 224)
    names = [f"{CLASS_NAMES[index % 80]} {index // 80}" for index in range(classes)]
    recipe = load_recipe("default", "positivecoop", epochs=1, batch_size=BATCH)
    recipe = recipe.model_copy(update={"optimizer": "adam"})
    recognizer = create_recognizer("positivecoop", backbone, names, context_length=16)
    regions = InMemoryRegions(torch.randn(STEPS * BATCH, backbone.regions, backbone.feature_width))
    labels = random_labels(STEPS * BATCH, classes).numpy()
    begin = time.perf_counter()
    fit(recognizer, regions, labels, recipe)
    seconds = (time.perf_counter() - begin) / STEPS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # of Linux, in KiB
    print(f"{classes:>6} classes: peak {peak:.2f} GiB, {seconds:.1f} s a step", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, nargs="+", default=[1000, 10_000])
    classes = parser.parse_args().classes
    if len(classes) == 1:
        train(classes[0])
    else:
        for count in classes:
            subprocess.run([sys.executable, __file__, "--classes", str(count)], check=True)


if __name__ == "__main__":
    main()
