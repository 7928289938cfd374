"""Ways to make regions, and crops: python bench/regions.py [--world usual] [--towers scenes,scenes-vit] [--images 400]

On the miniatures, which know drawings, and photographed scenes that no pretraining saw; never on random weights.

in the box: share of a class's presence map, above its least value, that lies in the boxes of its objects (patches
    that a box cuts count by area), as a multiple of the share of the image that these boxes take: 1 is a map that
    knows nothing. Mean over images and the classes present. Tiles are on no map, so crops do not change it.
zero-shot: mAP of the probability of presence against the absence text "a photo.".
trained: mAP of the default method after training on other scenes with few of their labels, mean over seeds.
images/s: of the tower alone, as a ratio to the tower's first row; the median of rounds in which rows take turns.
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from promptmlr.backbone import MINIATURES, WAYS, Backbone, load_backbone
from promptmlr.data import DataOptions, LabelledImages, load_data
from promptmlr.errors import UserError
from promptmlr.labels import hide, keep_mask
from promptmlr.methods import create_recognizer
from promptmlr.pipeline import score_on
from promptmlr.prior.fitting import begin_run
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, InMemoryRegions, extract
from promptmlr.report.tables import markdown_table
from promptmlr.scenes import IMAGE_SIZE, WORLDS, draw_scene
from promptmlr.training import fit_runs

METHOD, CROPS, OBSERVED = "anchored", (0, 2, 3), 0.05
ROUNDS, TIMED = 7, 16  # of images/s; images at once


def towers(names: list[str]) -> Iterator[tuple[str, str, int, Backbone]]:
    """Every way that is known of a tower, with every number of crops."""
    for name in names:
        for way in WAYS:
            for crops in CROPS:
                try:
                    yield name, way, crops, load_backbone(name, regions=way, crops=crops)
                except UserError:  # it has no such regions
                    break


def boxes(data: LabelledImages, grid: int) -> NDArray[np.float64]:
    """(N, C, g, g) how much of each patch the boxes of a class's objects cover."""
    found = np.zeros((*data.labels.shape, IMAGE_SIZE, IMAGE_SIZE), np.float32)
    for row, image in enumerate(data.images):
        for thing in draw_scene(image.seed, image.index, WORLDS[image.world]).objects:
            left, top, right, bottom = thing.box
            found[row, thing.class_index, top:bottom, left:right] = 1
    patch = IMAGE_SIZE // grid
    return found.reshape(*data.labels.shape, grid, patch, grid, patch).mean(axis=(3, 5))


@torch.no_grad()
def in_the_box(backbone: Backbone, regions: torch.Tensor, data: LabelledImages, covered: NDArray[np.float64]) -> float:
    recognizer = create_recognizer("zeroshot", backbone, data.class_names)
    maps = recognizer.maps(regions)[0][..., 1 : 1 + backbone.grid**2].numpy()
    maps = (maps - maps.min(axis=-1, keepdims=True)).reshape(covered.shape)
    present = data.labels == 1
    inside = (maps * covered).sum(axis=(2, 3))[present] / maps.sum(axis=(2, 3))[present]
    return float(np.mean(inside / covered.mean(axis=(2, 3))[present]))


def trained(backbone: Backbone, regions: torch.Tensor, train: LabelledImages, seed: int):
    recipe = load_recipe("default", METHOD)
    recognizer = create_recognizer(METHOD, backbone, train.class_names, seed=seed, **recipe.start_options())
    labels, source = hide(train.labels, keep_mask(train.labels.shape, OBSERVED, seed)), InMemoryRegions(regions)
    begun = begin_run(recognizer, source, labels, recipe, seed=seed, order_seed=seed)
    fit_runs([begun.run], source, order_seed=seed)
    return recognizer.fold()


def rates(found: list[Backbone], data: LabelledImages) -> list[float]:
    """Images per second, relative to the first."""
    seconds = np.zeros((ROUNDS, len(found)))
    for turn in range(ROUNDS):
        for place, backbone in enumerate(found):
            pixels = [backbone.preprocessing.pixels(image.open()) for image in data.images[:TIMED]]
            batch = backbone.preprocessing.normalise(torch.stack(pixels))
            begin = time.perf_counter()
            backbone.encode_image(batch)
            seconds[turn, place] = time.perf_counter() - begin
    median = np.median(seconds, axis=0)
    return list(median[0] / median)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", default="usual", choices=WORLDS)
    parser.add_argument("--towers", default=",".join(MINIATURES))
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    data = "scenes" if asked.world == "usual" else f"scenes:{asked.world}"
    options = DataOptions(scenes_train=asked.images, scenes_test=asked.images)
    train, test = (load_data(data, purpose=purpose, options=options) for purpose in ("train", "test"))
    names, rows = asked.towers.split(","), []
    for name in names:
        found = list(towers([name]))
        speed = rates([backbone for *_, backbone in found], test)
        for (_, way, crops, backbone), rate in zip(found, speed, strict=True):
            seen, tested = (extract(FreshRegions(backbone, part.images))[1].regions for part in (train, test))
            score = score_on(InMemoryRegions(tested), test.labels)
            zero_shot = score(create_recognizer("zeroshot", backbone, test.class_names))
            learned = [score(trained(backbone, seen, train, seed)) for seed in range(asked.seeds)]
            inside = in_the_box(backbone, tested, test, boxes(test, backbone.grid))
            numbers = (f"{inside:.2f}", f"{100 * zero_shot:.1f}", f"{100 * np.mean(learned):.1f}", f"{rate:.2f}")
            rows.append((name, way, str(crops), *numbers))
            print(*rows[-1], flush=True)
    print(f"\n{len(test.images)} scenes of the world {asked.world}, {100 * OBSERVED:g} % of labels observed\n")
    header = ("tower", "regions", "crops", "in the box", "zero-shot", "trained", "images/s")
    print(markdown_table(header, rows, 3))


if __name__ == "__main__":
    main()
