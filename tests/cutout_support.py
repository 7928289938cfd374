"""Drawn photographs with COCO's annotations: a grey wall each, on it a red square, a green disc, perhaps a hot dog."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

LICENCES = [{"id": 4, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"}]
CATEGORIES = [{"id": 3, "name": "square"}, {"id": 5, "name": "disc"}, {"id": 18, "name": "hot_dog"}]

_DISC = [
    round(float(at), 1)
    for k in range(24)
    for at in (150 + 28 * np.cos(k * np.pi / 12), 35 + 28 * np.sin(k * np.pi / 12))
]
_SQUARE = [20, 10, 70, 10, 70, 60, 20, 60]
_HOT_DOG = [90, 10, 118, 10, 118, 60, 90, 60]


def photo_tree(
    folder: Path,
    count: int = 18,
    *,
    outlined: bool = True,
    licences: Sequence[Mapping[str, Any]] = LICENCES,
    splits: Sequence[str] = ("train2017",),
) -> Path:
    """`count` photographs of 240 × 200 pixels for each split; only four of a split have a hot dog."""
    for split in splits:
        (folder / split).mkdir(parents=True)
        (folder / "annotations").mkdir(exist_ok=True)
        images, annotations = [], []
        for number in range(count):
            name = f"{split[0]}{number:03d}.jpg"
            outlines = {3: ("red", _SQUARE), 5: ("green", _DISC)} | ({18: ("blue", _HOT_DOG)} if number < 4 else {})
            image = Image.new("RGB", (240, 200), (100 + number,) * 3)
            for category, (colour, polygon) in outlines.items():
                ImageDraw.Draw(image).polygon(polygon, fill=colour)
                annotations.append(annotation(number, category, polygon, outlined))
            image.save(folder / split / name, quality=95, subsampling=0)
            licence = {"license": 4, "flickr_url": f"http://example.org/{name}"} if licences else {}
            images.append({"id": number, "file_name": name, "width": 240, "height": 200, **licence})
        content = {"images": images, "annotations": annotations, "categories": CATEGORIES, "licenses": licences}
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return folder


def annotation(image: int, category: int, polygon: Sequence[float], outlined: bool = True) -> dict[str, Any]:
    """An object of COCO's annotations."""
    xs, ys = polygon[::2], polygon[1::2]
    box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    outline = {"segmentation": [list(polygon)]} if outlined else {}
    return {"image_id": image, "category_id": category, "bbox": box, "iscrowd": 0, **outline}
