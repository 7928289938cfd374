"""The paper's Table 1 as data, to stand beside what is measured: WACV 2025, arXiv 2409.08381, COCO and VOC2007."""

import csv
from importlib.resources import files
from typing import Literal

from promptmlr.data import LabelledImages

__all__ = ["SOURCE", "Benchmark", "benchmark_of", "published_scores"]

Benchmark = Literal["voc2007", "coco2014"]

SOURCE = "Rawlekar, Bhatnagar and Ahuja, WACV 2025, Table 1: one run, its best epoch chosen on the test images"

_TESTED: dict[tuple[int, int], Benchmark] = {  # test images and classes
    (4952, 20): "voc2007",
    (40_137, 80): "coco2014",
    (40_504, 80): "coco2014",
}


def benchmark_of(test: LabelledImages) -> Benchmark | None:
    """Which of the paper's data sets these test images are, by their number and that of their classes."""
    images, classes = test.labels.shape
    return _TESTED.get((images, classes))


def published_scores(benchmark: Benchmark | None) -> dict[tuple[str, float], float]:
    """(method, observed fraction) → mAP in 0..1; empty where the paper has no numbers."""
    with files("promptmlr.experiments.grid").joinpath("published.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["benchmark"] == benchmark]
    return {(row["method"], float(row["observed"])): float(row["mean_ap"]) / 100 for row in rows}
