"""The paper's two data sets: the layout of their files, their sizes, and how they are recognised."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from promptmlr.data import DataOptions, LabelledImages, load_data
from promptmlr.data.options import Benchmark
from promptmlr.errors import UserError
from promptmlr.names import checked_path, first_names

__all__ = ["BENCHMARKS", "BenchmarkFacts", "benchmark_of", "benchmark_root", "load_benchmark", "what_is_missing"]


@dataclass(frozen=True)
class BenchmarkFacts:
    """Names and sizes of a data set.

    Attributes:
        name: as it is usually written.
        format: of its files, a key of `promptmlr.data.FORMATS`.
        train: name of its split for training.
        test: name of its split for testing.
        classes: number of classes.
        train_images: number of images that the paper trains on, by `DataOptions.coco_images`.
        test_images: number of images that it tests on, likewise.
        layout: of its files below the root, in words.
    """

    name: str
    format: Literal["voc", "coco"]
    train: str
    test: str
    classes: int
    train_images: dict[str, int]
    test_images: dict[str, int]
    layout: str


BENCHMARKS: dict[Benchmark, BenchmarkFacts] = {
    "voc2007": BenchmarkFacts(
        "VOC2007",
        "voc",
        "trainval",
        "test",
        20,
        {"annotated": 5011, "all": 5011},
        {"annotated": 4952, "all": 4952},
        "JPEGImages/, Annotations/ and ImageSets/Main/{trainval,test}.txt in it, in VOC2007/ or in VOCdevkit/VOC2007/",
    ),
    "coco2014": BenchmarkFacts(
        "COCO 2014",
        "coco",
        "train2014",
        "val2014",
        80,
        {"annotated": 82_081, "all": 82_783},
        {"annotated": 40_137, "all": 40_504},
        "annotations/instances_{train2014,val2014}.json, and the images in train2014/ and val2014/ or images/…",
    ),
}


def benchmark_of(test: LabelledImages) -> Benchmark | None:
    """The paper's data set that these test images belong to, judged by their number and that of the classes."""
    images, classes = test.labels.shape
    for benchmark, facts in BENCHMARKS.items():
        if classes == facts.classes and images in facts.test_images.values():
            return benchmark
    return None


def load_benchmark(
    benchmark: Benchmark, root: str | Path, options: DataOptions
) -> tuple[LabelledImages, LabelledImages]:
    """Training and test images of one of the paper's data sets, or of a smaller tree of the same layout.

    Args:
        benchmark: which one.
        root: the folder that holds it.
        options: how its format is read, and the folder of the images if it is not the usual one.

    Raises:
        UserError: the root holds something else; the message says what was expected and what was found.
    """
    facts = BENCHMARKS[benchmark]
    folder = str(benchmark_root(benchmark, root))
    here = replace(options, format=facts.format)
    train = load_data(folder, "train", replace(here, split=facts.train))
    test = load_data(folder, "test", replace(here, split=facts.test))
    return train, test


def benchmark_root(benchmark: Benchmark, root: str | Path) -> Path:
    """The folder below `root` that its reader takes.

    Raises:
        UserError: as `load_benchmark`.
    """
    facts, root = BENCHMARKS[benchmark], checked_path(root)
    if facts.format == "voc":
        another_year = root.name.startswith("VOC20") and root.name != "VOC2007"
        folders = [] if another_year else [root, root / "VOC2007", root / "VOCdevkit" / "VOC2007"]
        needed = ["JPEGImages", "Annotations", *(f"ImageSets/Main/{split}.txt" for split in (facts.train, facts.test))]
    else:
        folders = [root]
        needed = [f"annotations/instances_{split}.json" for split in (facts.train, facts.test)]
    for folder in folders:
        if all((folder / name).exists() for name in needed):
            return folder
    raise UserError(f"--root {root} holds no {facts.name}: expected {facts.layout}; found {_found(root)}")


def what_is_missing(
    benchmark: Benchmark, train: LabelledImages, test: LabelledImages, options: DataOptions
) -> str | None:
    """A sentence on how the numbers of images and classes differ from the paper's; None if they do not."""
    facts = BENCHMARKS[benchmark]
    shown = options.coco_images or "annotated"
    wanted = facts.train_images[shown], facts.test_images[shown], facts.classes
    found = len(train.images), len(test.images), len(test.class_names)
    if found == wanted:
        return None
    sizes = ["{:,} training and {:,} test images of {} classes".format(*counts) for counts in (found, wanted)]
    return (
        f"These data are not all of {facts.name}: {sizes[0]}, where it has {sizes[1]}. The paper's numbers are shown "
        "for orientation only; a difference to them means nothing."
    )


def _found(root: Path) -> str:
    """The content of a folder, in a few words."""
    if not root.is_dir():
        return "a file" if root.is_file() else "no such folder"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir() if not entry.name.startswith("."))
    return first_names(names) or "nothing in it"
