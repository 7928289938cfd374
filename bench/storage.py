"""What each number format of stored regions does to logits and mAP: python bench/storage.py [--seeds 3]

On the drawn world's miniature CLIP: regions of random weights would say nothing. First a recognizer trained on float32
regions sees the test images through each format: the largest absolute change of a logit, and of its mAP. Then the same
run is trained and tested on regions of that format: mean and largest difference of mAP over seeds.
"""

import argparse

import numpy as np
import torch

from promptmlr.backbone import load_backbone
from promptmlr.data import DataOptions, LabelledImages, load_data
from promptmlr.features import STORAGES, RowFormat
from promptmlr.labels import hide, keep_mask
from promptmlr.methods import create_recognizer
from promptmlr.pipeline import score_on
from promptmlr.recipes import load_recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import FreshRegions, InMemoryRegions, extract
from promptmlr.training import fit

METHODS = ("positivecoop", "dualcoop", "baseline")
OBSERVED = 0.5
IMAGES = 600


def through(form: RowFormat, regions: torch.Tensor) -> InMemoryRegions:
    """Regions after a stay in the store."""
    return InMemoryRegions(form.unpack(form.parts(torch.from_numpy(form.pack(regions)))))


def trained(method: str, data: LabelledImages, source: InMemoryRegions, seed: int) -> Recognizer:
    recipe = load_recipe("default", method)
    recognizer = create_recognizer(
        method, load_backbone("scenes"), data.class_names, seed=seed, **recipe.start_options()
    )
    fit(recognizer, source, hide(data.labels, keep_mask(data.labels.shape, OBSERVED, seed)), recipe, order_seed=seed)
    return recognizer.fold()


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    backbone = load_backbone("scenes")
    shape = backbone.regions, backbone.feature_width
    data = load_data("scenes", purpose="train", options=DataOptions(scenes_train=IMAGES))
    tested = load_data("scenes", purpose="test")
    train, test = (extract(FreshRegions(backbone, part.images))[1].regions for part in (data, tested))
    sizes = {storage: RowFormat(storage, *shape).row_bytes for storage in STORAGES}
    coco = {storage: RowFormat(storage, 197, 512).row_bytes for storage in STORAGES}
    for storage in STORAGES:
        print(f"{storage:<9} {sizes[storage]:>7} bytes per image here, {coco[storage]:>7} with RN101 at 448 px")
    print("method        storage    largest logit change   mAP change   trained: mean   largest", flush=True)
    for method in METHODS:
        with torch.enable_grad():
            exact = [trained(method, data, InMemoryRegions(train), seed) for seed in seeds]
        logits = [recognizer(test) for recognizer in exact]
        maps = [100 * score_on(InMemoryRegions(test), tested.labels)(recognizer) for recognizer in exact]
        for storage in STORAGES:
            form = RowFormat(storage, *shape)
            seen, learned = through(form, test), through(form, train)
            score = score_on(seen, tested.labels)
            changed = max(float((r(seen.regions) - z).abs().max()) for r, z in zip(exact, logits, strict=True))
            moved = np.abs([100 * score(r) - value for r, value in zip(exact, maps, strict=True)]).max()
            with torch.enable_grad():
                again = [trained(method, data, learned, seed) for seed in seeds]
            differences = np.array([100 * score(r) for r in again]) - maps
            print(
                f"{method:<13} {storage:<10} {changed:>20.5f}   {moved:>10.3f}   {differences.mean():>+13.3f}   "
                f"{np.abs(differences).max():>7.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
