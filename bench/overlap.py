"""Decoding beside the tower: python bench/overlap.py [--photos FOLDER]

How much of the tower's own rate is left when images come from JPEG files: extraction into a store, and prediction.
RN101 at 448 px with random weights, in bfloat16, where decoding has the least time. Median of 3 runs over 96 images,
taking turns in one process; the tower alone gets decoded pixels. Without --photos they are drawn, 640 × 480 pixels.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from random_towers import CLASS_NAMES, random_backbone

from promptmlr.backbone import Backbone, tower_dtypes
from promptmlr.data.images import ImageFile, find_images
from promptmlr.features import RegionCache, stored_regions
from promptmlr.functional import presence_probability
from promptmlr.methods import create_recognizer
from promptmlr.regions import FreshRegions, automatic_batch_size, encode_stream

IMAGES, RUNS = 96, 3


def draw_photos(folder: Path, count: int = IMAGES) -> None:
    """JPEGs of about 100 kB, as a camera's small ones are: smooth shapes under a little grain."""
    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((640, 480), Image.BICUBIC)
        grain = rng.normal(0, 8, (480, 640, 3))
        pixels = np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03d}.jpg", quality=88)


def rates(
    backbone: Backbone,
    images: list[ImageFile],
    caches: Path,
    runs: int = RUNS,
    plain: Callable[[torch.Tensor], object] | None = None,
) -> dict[str, float]:
    """Images per second of each kind of work; with `plain` also of what takes normalised pixels, as "plain"."""
    decoded = torch.stack([backbone.preprocessing.pixels(image.open()) for image in images])
    inputs = backbone.preprocessing.normalise(decoded, backbone.dtype)
    recognizer = create_recognizer("zeroshot", backbone, CLASS_NAMES)
    size = automatic_batch_size(backbone)

    def tower(_run: int) -> None:
        for batch in decoded.split(size):
            backbone.encode_image(backbone.preprocessing.normalise(batch, backbone.dtype))

    def extraction(run: int) -> None:
        stored_regions(FreshRegions(backbone, images), RegionCache(caches / str(run)))

    @torch.no_grad()
    def prediction(_run: int) -> None:
        for _, _, regions in encode_stream(backbone, images):
            if regions is not None:
                presence_probability(recognizer(regions))

    works: dict[str, Callable[[int], None]] = {"tower": tower, "extraction": extraction, "prediction": prediction}
    if plain is not None:
        works["plain"] = torch.no_grad()(lambda _run: [plain(part) for part in inputs.split(size)])
    for name in works.keys() & {"tower", "plain"}:
        works[name](-1)
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for run in range(runs):
        for name, work in works.items():
            begin = time.perf_counter()
            work(run)
            seconds[name].append(time.perf_counter() - begin)
    return {name: len(images) / statistics.median(found) for name, found in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="a folder of images to use instead of drawn ones")
    photos = parser.parse_args().photos
    with tempfile.TemporaryDirectory() as temporary:
        if photos is None:
            photos = Path(temporary, "photos")
            photos.mkdir()
            draw_photos(photos)
        images = [ImageFile(path) for path in islice(find_images([photos]), IMAGES)]
        found = rates(random_backbone("RN101", 448, *tower_dtypes("bfloat16")), images, Path(temporary, "caches"))
        print(
            f"the tower alone: {found['tower']:.2f} images/s; of that extraction reaches "
            f"{found['extraction'] / found['tower']:.0%}, prediction {found['prediction'] / found['tower']:.0%}"
        )


if __name__ == "__main__":
    main()
