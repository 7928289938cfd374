"""The paper's Table 1 as data, for comparison with measured scores: WACV 2025, arXiv 2409.08381, COCO and VOC2007."""

import csv
from importlib.resources import files

from promptmlr.data.options import Benchmark
from promptmlr.paper.grid.observed import Observed

__all__ = ["SOURCE", "published_scores", "published_sources"]

SOURCE = "Rawlekar, Bhatnagar and Ahuja, WACV 2025, Table 1: one run, its best epoch chosen on the test images"


def published_scores(benchmark: Benchmark | None) -> dict[tuple[str, Observed], float]:
    """(method, observed fraction) → mAP in 0..1; empty where the paper has no numbers."""
    rows = [row for row in _rows() if row["benchmark"] == benchmark]
    return {(row["method"], float(row["observed"])): float(row["mean_ap"]) / 100 for row in rows}


def published_sources() -> set[str]:
    """Keys of `peers.all_sources` that the rows name."""
    return {row["source"] for row in _rows()}


def _rows() -> list[dict[str, str]]:
    with files("promptmlr.paper.grid").joinpath("published.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
