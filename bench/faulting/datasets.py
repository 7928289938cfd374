"""Small data sets in the formats that `promptmlr convert` reads and does not write, in their published layouts."""

import itertools
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["DATASETS", "write_dataset", "write_tars"]

COUNT = 6  # images of each
Names = Sequence[str]
Write = Callable[[Path, Names], None]


def write_dataset(name: str, root: Path, images: Path) -> None:
    """Write one of `DATASETS`, with copies of the first images of a folder of .png files."""
    folder, write = DATASETS[name]
    (root / folder).mkdir(parents=True)
    files = _first(images)
    for file in files:
        shutil.copy(file, root / folder)
    write(root, [file.stem for file in files])


def write_tars(root: Path, images: Path) -> None:
    """Shards as webdataset writes them, of two images each."""
    root.mkdir(parents=True)
    files = _first(images)
    for number in range(len(files) // 2):
        with tarfile.open(root / f"{number:03d}.tar", "w") as archive:
            for file in files[2 * number : 2 * number + 2]:
                archive.add(file, file.name)


def _first(images: Path) -> list[Path]:
    return sorted(images.glob("*.png"))[:COUNT]


def _text(root: Path, name: str, lines: Sequence[str]) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("".join(f"{line}\n" for line in lines))


def _turns() -> Iterator[int]:
    return itertools.cycle((1, 0, 0, 1, 1))


def _celeba(root: Path, names: Names) -> None:
    rows = [f"{name}.png {value} {-value}" for name, value in zip(names, itertools.cycle((1, -1)), strict=False)]
    _text(root, "list_attr_celeba.txt", [str(len(names)), "Bald Wearing_Hat", *rows])
    parts = itertools.cycle("0012")
    _text(root, "list_eval_partition.txt", [f"{name}.png {part}" for name, part in zip(names, parts, strict=False)])


def _nus_wide(root: Path, names: Names) -> None:
    _text(root, "ImageList/Imagelist.txt", [f"{name}.png" for name in names])
    for concept, turns in (("airport", _turns()), ("zebra", itertools.cycle("01"))):
        lines = [str(value) for _, value in zip(names, turns, strict=False)]
        _text(root, f"Groundtruth/AllLabels/Labels_{concept}.txt", lines)


def _open_images(root: Path, names: Names) -> None:
    head = "ImageID,Source,LabelName,Confidence"
    rows = [f"{name},verification,/m/{word},{value}" for name in names for word, value in (("0c", 1), ("04", 0))]
    _text(root, "train-annotations-human-imagelabels.csv", [head, *rows[:-4], f"{names[-1]},machine,/m/0c,0.9"])
    _text(root, "validation-annotations-human-imagelabels.csv", [head, *rows[-4:]])
    _text(root, "class-descriptions.csv", ["LabelName,DisplayName", "/m/0c,Airplane", "/m/04,Motorcycle"])


def _visual_genome(root: Path, names: Names) -> None:
    objects = [
        {"image_id": name, "objects": [{"names": ["tree", "bush"][: 1 + number % 2], "x": number}]}
        for number, name in enumerate(names)
    ]
    (root / "objects.json").write_text(json.dumps(objects))


def _voc(root: Path, names: Names) -> None:
    for split, listed in (("trainval", names[:4]), ("test", names[4:])):
        _text(root, f"ImageSets/Main/{split}.txt", listed)
    for name, value in zip(names, _turns(), strict=False):
        entries = "".join(
            f"<object><name>{word}</name><difficult>{value}</difficult></object>"
            for word in ("cat", "dog")[: 1 + value]
        )
        _text(root, f"Annotations/{name}.xml", [f"<annotation><filename>{name}</filename>{entries}</annotation>"])


def _voc_lists(root: Path, names: Names) -> None:
    for word, turns in (("dog", itertools.cycle((1, -1))), ("potted_plant", itertools.cycle((0, 1, -1)))):
        for split, listed in (("trainval", names[:4]), ("test", names[4:])):
            lines = [f"{name} {value:2d}" for name, value in zip(listed, turns, strict=False)]
            _text(root, f"ImageSets/Main/{word}_{split}.txt", lines)


def _yolo(root: Path, names: Names) -> None:
    _text(root, "data.yaml", ["path: .", "train: images/train", "names:", "  0: cat", "  1: dog"])
    for name, value in zip(names, _turns(), strict=False):
        _text(root, f"labels/train/{name}.txt", [f"{value} 0.5 0.5 0.2 0.1", "0 0.1 0.1 0.2 0.2"])


def _npz(root: Path, names: Names) -> None:
    rng = np.random.default_rng(1)
    np.savez(
        root / "features.npz",
        features=rng.normal(size=(len(names), 8)).astype(np.float32),
        labels=rng.integers(-1, 2, (len(names), 2)).astype(np.int8),
        class_names=np.array(["cat", "dog"]),
        text=rng.normal(size=(2, 8)).astype(np.float32),
        image=np.array(names),
        split=np.array(["train", "test"] * (len(names) // 2)),
    )


def _parquet(root: Path, names: Names) -> None:
    rng = np.random.default_rng(2)
    columns = {"features": rng.normal(size=(len(names), 8)).tolist(), "image": list(names)}
    labels = {word: rng.choice([0, 1, None], len(names)).tolist() for word in ("cat", "dog")}
    pq.write_table(pa.table(columns | labels), root / "features.parquet")
    text = {"class": ["cat", "dog"], "features": rng.normal(size=(2, 8)).tolist()}
    pq.write_table(pa.table(text), root / "features.text.parquet")


DATASETS: dict[str, tuple[str, Write]] = {
    "celeba": ("Img", _celeba),
    "features": ("none", _npz),
    "features-parquet": ("none", _parquet),
    "nus-wide": ("images", _nus_wide),
    "open-images": ("images", _open_images),
    "visual-genome": ("VG_100K", _visual_genome),
    "voc": ("JPEGImages", _voc),
    "voc-lists": ("JPEGImages", _voc_lists),
    "yolo": ("images/train", _yolo),
}
"""Format, or a kind of it → the folder of its images, and what writes the rest."""
