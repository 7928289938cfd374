"""Small data sets in their real layouts, written below tmp_path."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from support import write_image

Object = tuple[str, bool]


@pytest.fixture
def make_csv(tmp_path) -> Callable[..., Path]:
    """Text → labels.csv, beside it the images a.png, b.png and c.png."""

    def make(text: str, encoding: str = "utf-8") -> Path:
        for name in "abc":
            write_image(tmp_path / f"{name}.png")
        path = tmp_path / "labels.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return make


@pytest.fixture
def make_voc(tmp_path) -> Callable[..., Path]:
    """{list: {image id: [(class, difficult)]}} → a devkit of one year; None instead of objects: no annotation."""

    def make(lists: dict[str, dict[str, Sequence[Object] | None]], year: str = "VOC2007") -> Path:
        root = tmp_path / "VOCdevkit" / year
        for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (root / folder).mkdir(parents=True)
        for name, images in lists.items():
            (root / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{i}\n" for i in images))
            for image_id, objects in images.items():
                write_image(root / "JPEGImages" / f"{image_id}.jpg")
                if objects is not None:
                    (root / "Annotations" / f"{image_id}.xml").write_text(_annotation(objects))
        return root

    return make


def _annotation(objects: Sequence[Object]) -> str:
    # The part has a name and a box of its own, as in the layout task.
    entries = "".join(
        f"<object><name>{name}</name><difficult>{int(difficult)}</difficult><part><name>head</name></part></object>"
        for name, difficult in objects
    )
    return f"<annotation><filename>x</filename>{entries}</annotation>"


@pytest.fixture
def make_coco(tmp_path) -> Callable[..., Path]:
    """[(image id, category id, crowd)] → a COCO folder with images 7, 30 and 100, categories 3 cat and 18 hot_dog."""

    def make(objects: Sequence[tuple[int, int, int]], split: str = "train2017", images: str | None = None) -> Path:
        root = tmp_path / "coco"
        (root / "annotations").mkdir(parents=True, exist_ok=True)
        content = {
            "images": [{"id": i, "file_name": f"{i:012d}.jpg"} for i in (30, 7, 100)],
            "categories": [{"id": 18, "name": "hot_dog"}, {"id": 3, "name": "cat"}],
            "annotations": [
                {"id": n, "image_id": i, "category_id": c, "iscrowd": k, "segmentation": [[1.0, 2.0]]}
                for n, (i, c, k) in enumerate(objects)
            ],
        }
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
        for image in content["images"]:
            write_image(root / (split if images is None else images) / image["file_name"])
        return root

    return make


@pytest.fixture
def refused() -> Callable[..., str]:
    """Call something that must raise a UserError of one line with all the given words in it."""
    from promptmlr.errors import UserError

    def check(words: Sequence[str], function: Callable[..., object], *args, **options) -> str:
        with pytest.raises(UserError) as caught:
            function(*args, **options)
        message = str(caught.value)
        assert "\n" not in message
        missing = [word for word in words if word not in message]
        assert not missing, message
        return message

    return check
