"""Peak memory of training many classes: python bench/memory.py [--classes 1000 10000] [--dtype float32]

PositiveCoOp with contexts of its own for every class (M = 16) on ViT-B-32's text tower of random weights, cast as
`promptmlr train` does, two steps of Adam through `fit` over batches of 32 images of 50 regions. Every number of classes
is measured in a process of its own; the peak is that of the whole process, torch and the image tower included.
"""

import argparse
import resource
import subprocess
import sys
import time
from typing import get_args

import torch
from random_towers import CLASS_NAMES, random_backbone, random_labels

from promptmlr.backbone import Precision, tower_dtypes
from promptmlr.methods import create_recognizer
from promptmlr.recipes import load_recipe
from promptmlr.regions import InMemoryRegions
from promptmlr.training import fit

STEPS, BATCH = 2, 32


def train(classes: int, dtype: Precision) -> None:
    backbone = random_backbone("ViT-B-32", 224, *tower_dtypes(dtype))
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
    text = str(backbone.text.dtype).removeprefix("torch.")
    print(f"{classes:>6} classes, text tower in {text}: peak {peak:.2f} GiB, {seconds:.1f} s a step", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--dtype", choices=get_args(Precision), default="auto")
    asked = parser.parse_args()
    classes, dtype = asked.classes, asked.dtype
    if len(classes) == 1:
        train(classes[0], dtype)
    else:
        for count in classes:
            command = [sys.executable, __file__, "--classes", str(count), "--dtype", dtype]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
