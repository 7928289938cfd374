"""The paper's data sets: known by their size, and what a smaller tree lacks."""

import numpy as np
import pytest

from promptmlr.data import DataOptions, LabelledImages
from promptmlr.paper.grid.benchmarks import benchmark_of, what_is_missing


def images(count: int, classes: int) -> LabelledImages:
    names = tuple(f"{index:06d}" for index in range(count))
    labels = np.zeros((count, classes), np.int8)
    return LabelledImages(names, names, labels, tuple(f"class {index}" for index in range(classes)), "here")


@pytest.mark.parametrize(
    ("size", "benchmark"),
    [
        ((4952, 20), "voc2007"),
        ((4951, 20), None),
        ((4952, 80), None),
        ((40137, 80), "coco2014"),
        ((40504, 80), "coco2014"),
        ((107859, 81), "nuswide"),
        ((10000, 500), "vg500"),
        ((10000, 200), "vg200"),
    ],
)
def test_a_benchmark_is_known_by_its_size(size: tuple[int, int], benchmark: str | None) -> None:
    assert benchmark_of(images(*size)) == benchmark


def test_what_is_missing_is_counted() -> None:
    whole, every = DataOptions(), DataOptions(coco_images="all")
    assert what_is_missing("voc2007", images(5011, 20), images(4952, 20), whole) is None
    assert what_is_missing("voc2007", images(5011, 20), images(4952, 20), every) is None
    short = what_is_missing("voc2007", images(5010, 20), images(4952, 20), whole)
    assert short is not None
    assert "5,010 training and 4,952 test images of 20 classes, where it has 5,011 training" in short
    assert what_is_missing("coco2014", images(82_081, 80), images(40_137, 80), whole) is None
    assert what_is_missing("coco2014", images(82_783, 80), images(40_504, 80), every) is None
    assert what_is_missing("coco2014", images(82_783, 80), images(40_504, 80), whole) is not None
