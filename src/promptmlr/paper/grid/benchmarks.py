"""Data sets of published tables: the layouts of their files, their sizes, and how they are recognised.

VOC2007 and COCO are the paper's. Where the layouts of the others were seen is said where their formats are read:
`data/formats/nus_wide.py`, `nus_wide_csv.py` and `visual_genome_lists.py`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from promptmlr.data import DataOptions, LabelledImages, load_data
from promptmlr.data.options import Benchmark
from promptmlr.errors import UserError
from promptmlr.names import checked_path, first_names

__all__ = [
    "BENCHMARKS",
    "BenchmarkFacts",
    "Layout",
    "benchmark_of",
    "found_layout",
    "load_benchmark",
    "what_is_missing",
]

_NUMBERED: tuple[Benchmark, ...] = ("vg500", "vg200")


@dataclass(frozen=True)
class Layout:
    """One way in which a data set lies on people's disks.

    Attributes:
        format: of its files, a key of `promptmlr.data.FORMATS`.
        train: name of its split for training.
        test: name of its split for testing.
        needed: files and folders that it is recognised by, below one of `folders`.
        folders: where it may lie below the root.
        file: which of them the format's reader takes; empty for the folder.
        unlisted: what a class is that a list of names leaves out, where the benchmark says so.
    """

    format: str
    train: str
    test: str
    needed: tuple[str, ...]
    folders: tuple[str, ...] = ("",)
    file: str = ""
    unlisted: Literal["absent"] | None = None


@dataclass(frozen=True)
class BenchmarkFacts:
    """Names and sizes of a data set.

    Attributes:
        name: as it is usually written.
        layouts: of its files; the first that is there is read.
        classes: number of classes.
        train_images: number of images that are trained on, by `DataOptions.coco_images`.
        test_images: number of images that are tested on, likewise.
        layout: of its files below the root, in words.
    """

    name: str
    layouts: tuple[Layout, ...]
    classes: int
    train_images: dict[str, int]
    test_images: dict[str, int]
    layout: str


def _always(images: int) -> dict[str, int]:
    return {"annotated": images, "all": images}


def _visual_genome(classes: int) -> BenchmarkFacts:
    """Its most frequent categories; sizes are those of the lists in HCPLab-SYSU/SSGRL, `data/VG`."""
    lists = ("train_list_500.txt", "test_list_500.txt")
    labels = f"vg_category_{classes}_labels_index.json"
    return BenchmarkFacts(
        f"Visual Genome {classes}",
        (Layout("visual-genome-lists", "train", "test", (*lists, labels), file=labels, unlisted="absent"),),
        classes,
        _always(82_904),
        _always(10_000),
        f"{lists[0]}, {lists[1]} and {labels}, and the images in VG_100K/ and VG_100K_2/",
    )


BENCHMARKS: dict[Benchmark, BenchmarkFacts] = {
    "voc2007": BenchmarkFacts(
        "VOC2007",
        (
            Layout(
                "voc",
                "trainval",
                "test",
                ("JPEGImages", "Annotations", "ImageSets/Main/trainval.txt", "ImageSets/Main/test.txt"),
                ("", "VOC2007", "VOCdevkit/VOC2007"),
            ),
        ),
        20,
        _always(5011),
        _always(4952),
        "JPEGImages/, Annotations/ and ImageSets/Main/{trainval,test}.txt in it, in VOC2007/ or in VOCdevkit/VOC2007/",
    ),
    "coco2014": BenchmarkFacts(
        "COCO 2014",
        (
            Layout(
                "coco",
                "train2014",
                "val2014",
                ("annotations/instances_train2014.json", "annotations/instances_val2014.json"),
            ),
        ),
        80,
        {"annotated": 82_081, "all": 82_783},
        {"annotated": 40_137, "all": 40_504},
        "annotations/instances_{train2014,val2014}.json, and the images in train2014/ and val2014/ or images/…",
    ),
    "nuswide": BenchmarkFacts(
        "NUS-WIDE",
        (
            Layout(
                "nus-wide",
                "train",
                "test",
                ("ImageList/TrainImagelist.txt", "ImageList/TestImagelist.txt", "Groundtruth/TrainTestLabels"),
                ("", "NUS-WIDE"),
                unlisted="absent",
            ),
            Layout("nus-wide-csv", "train", "val", ("nus_wid_data.csv",), file="nus_wid_data.csv", unlisted="absent"),
        ),
        81,
        _always(161_789),
        _always(107_859),
        "ImageList/{Train,Test}Imagelist.txt and Groundtruth/TrainTestLabels/Labels_*_{Train,Test}.txt, or "
        "nus_wid_data.csv",
    ),
    "vg500": _visual_genome(500),
    "vg200": _visual_genome(200),
}


def benchmark_of(test: LabelledImages) -> Benchmark | None:
    """The data set that these test images belong to, judged by their number and that of the classes."""
    images, classes = test.labels.shape
    for benchmark, facts in BENCHMARKS.items():
        if classes == facts.classes and images in facts.test_images.values():
            return benchmark
    return None


def load_benchmark(
    benchmark: Benchmark, root: str | Path, options: DataOptions
) -> tuple[LabelledImages, LabelledImages]:
    """Training and test images of one of these data sets, or of a smaller tree of the same layout.

    Args:
        benchmark: which one.
        root: the folder that holds it.
        options: how its format is read, and the folder of the images if it is not the usual one.

    Raises:
        UserError: the root holds something else; the message says what was expected and what was found.
    """
    layout, folder = found_layout(benchmark, root)
    here = replace(options, format=layout.format, unlisted=layout.unlisted)
    if benchmark in _NUMBERED and options.classes is None:
        raise UserError(
            f"{BENCHMARKS[benchmark].name} numbers its classes, and prompts need names: give them with --classes "
            "NAMES.txt, one in a line, in the order of the numbers"
        )
    data = str(folder / layout.file)
    train = load_data(data, "train", replace(here, split=layout.train))
    test = load_data(data, "test", replace(here, split=layout.test))
    return train, test


def found_layout(benchmark: Benchmark, root: str | Path) -> tuple[Layout, Path]:
    """The layout in which a data set lies below `root`, and the folder with it.

    Raises:
        UserError: as `load_benchmark`.
    """
    facts, root = BENCHMARKS[benchmark], checked_path(root)
    another_year = benchmark == "voc2007" and root.name.startswith("VOC20") and root.name != "VOC2007"
    for layout in () if another_year else facts.layouts:
        for folder in (root / name for name in layout.folders):
            if all((folder / name).exists() for name in layout.needed):
                return layout, folder
    raise UserError(f"--root {root} holds no {facts.name}: expected {facts.layout}; found {_found(root)}")


def what_is_missing(
    benchmark: Benchmark, train: LabelledImages, test: LabelledImages, options: DataOptions
) -> str | None:
    """A sentence on how the numbers of images and classes differ from the benchmark's; None if they do not."""
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
