"""Where the runs of the released training began that `tests/parity/test_released_training.py` compares with.

Everything is drawn by NumPy, each array from a seed and its name, so that a few lines stand for megabytes: a tree in
COCO's layout with its mask, a small CLIP checkpoint in OpenAI's layout, and the initial value of every learned tensor.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image

from promptmlr.data.formats.coco import COCO_CLASS_NAMES

__all__ = ["MASK", "checksums", "start", "weights", "write_tree"]

SEED = 19
FEATURE_WIDTH = 512  # D, which is written into the released models
SIZES = {"train2014": 100, "val2014": 40}  # images with annotations
EMPTY = 10  # classes, the last ones, that no test image shows
MASK = "annotations/mask.pt"

Drawn = NDArray[np.float32]


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng([SEED, zlib.crc32(name.encode())])


def _normal(name: str, shape: tuple[int, ...], scale: float = 1.0) -> Drawn:
    return (scale * _generator(name).standard_normal(shape)).astype(np.float32)


def start(name: str, shape: tuple[int, ...]) -> Drawn:
    """The initial value of a learned tensor, by its name in this package: contexts and linear layers are small."""
    scale = {"context": 0.02, "weight": 0.02, "bias": 0.02}.get(name.rsplit(".", 1)[1], 1.0)
    return _normal(name, shape, scale)


def weights() -> dict[str, torch.Tensor]:
    """A CLIP ResNet of one block a stage and two text layers, 224 px; activations are near unit size."""
    vision = {"layers": [1, 1, 1, 1], "width": 8, "image_size": 224, "patch_size": None}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
    with torch.device("meta"):
        empty = open_clip.model.CLIP(FEATURE_WIDTH, vision, text).state_dict()
    return {key: torch.from_numpy(np.array(_weight(key, tuple(value.shape)))) for key, value in empty.items()}


def _weight(key: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key == "logit_scale":
        return np.full(shape, np.log(1 / 0.07), np.float32)
    if key.endswith("running_var"):
        return 1 + np.abs(_normal(key, shape, 0.2))
    if key.endswith(("positional_embedding", "token_embedding.weight")):
        return _normal(key, shape, 0.3)
    if key == "text_projection":
        return _normal(key, shape, shape[0] ** -0.5)
    if len(shape) > 1:
        return _normal(key, shape, float(np.prod(shape[1:])) ** -0.5)
    return _normal(key, shape, 0.1) + np.float32(key.endswith("weight"))


def write_tree(root: Path) -> None:
    """Write images, annotations in an order of their own, and a mask that keeps every second label."""
    (root / "annotations").mkdir(parents=True)
    for split, count in SIZES.items():
        (root / split).mkdir()
        _write_split(root, split, count)
    cells = SIZES["train2014"] * len(COCO_CLASS_NAMES)
    keep = torch.from_numpy(_generator("mask").permutation(cells) < cells // 2).reshape(-1, 1, len(COCO_CLASS_NAMES))
    torch.save(keep.long().expand(-1, 3, -1).clone(), root / MASK)


def _write_split(root: Path, split: str, count: int) -> None:
    """Images of several sizes; the last one has no annotation, the first annotation is of a crowd."""
    rng = _generator(split)
    present = rng.random((count, len(COCO_CLASS_NAMES))) < 0.1
    shown = len(COCO_CLASS_NAMES) - EMPTY * (split == "val2014")
    present[:, shown:] = False
    cells = np.arange(max(count, shown))
    present[cells % count, cells % shown] = True  # every image shows something, and every class is shown
    ids = rng.choice(500_000, size=count + 1, replace=False).tolist()
    images = [{"id": image_id, "file_name": f"COCO_{split}_{image_id:012d}.jpg"} for image_id in ids]
    pairs = rng.permutation(np.argwhere(present))
    areas = rng.choice([500.0, 5_000.0, 50_000.0], size=len(pairs)).tolist()
    numbers = [1 + column + column // 9 for column in range(len(COCO_CLASS_NAMES))]  # with gaps, as COCO's
    content = {
        "images": images,
        "categories": [{"id": n, "name": name} for n, name in zip(numbers, COCO_CLASS_NAMES, strict=True)],
        "annotations": [
            {"id": n, "image_id": ids[row], "category_id": numbers[column], "area": area, "iscrowd": int(n == 0)}
            for n, ((row, column), area) in enumerate(zip(pairs.tolist(), areas, strict=True))
        ],
    }
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    for image in images:
        height, width = rng.integers(50, 150, size=2).tolist()
        tiles = rng.integers(256, size=3) + rng.integers(-100, 101, size=(4, 4, 3))
        pixels = np.kron(tiles, np.ones((40, 40, 1), np.int64))[:height, :width]
        pixels = np.clip(pixels + rng.integers(-40, 41, size=pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / split / image["file_name"], format="png")


def checksums(root: Path) -> dict[str, int]:
    """Of everything that is drawn: the same numbers if a tree and the weights are those of the released runs."""
    images = [np.asarray(Image.open(path)) for split in SIZES for path in sorted((root / split).iterdir())]
    annotations = [np.frombuffer(path.read_bytes(), np.uint8) for path in sorted(root.glob("annotations/*.json"))]
    mask = torch.load(root / MASK).numpy()
    parts = {"images": images, "annotations": annotations, "mask": [mask], "weights": list(weights().values())}
    return {name: zlib.crc32(b"".join(np.asarray(one).tobytes() for one in arrays)) for name, arrays in parts.items()}
