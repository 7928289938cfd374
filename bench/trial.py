"""What trials share: worlds to measure on, cells kept in a file as they come, and means with intervals."""

import argparse
import csv
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

from promptmlr.backbone import Backbone, load_backbone
from promptmlr.backbone.precomputed import PrecomputedFeatures
from promptmlr.data import DataOptions, load_data
from promptmlr.data.formats.features import read_features
from promptmlr.evaluation import evaluate
from promptmlr.labels import Labels
from promptmlr.regions import FreshRegions, InMemoryRegions, extract


@dataclass(frozen=True)
class World:
    """Regions of N images with complete labels, and which of them are trained on and tested, split by split."""

    backbone: Backbone
    class_names: tuple[str, ...]
    regions: torch.Tensor
    labels: Labels
    splits: list[tuple[np.ndarray, np.ndarray]]

    def source(self, images: np.ndarray) -> InMemoryRegions:
        return InMemoryRegions(self.regions[torch.from_numpy(images)])


def load_world(name: str, images: int) -> World:
    """Drawn scenes (`scenes:crowded:6`), as many to train on as to test on.

    Or a file of features with folds, each of which is tested in turn.
    """
    if name.endswith(".npz"):
        table = read_features(Path(name))
        assert table.folds is not None, f"{name} has no folds"
        splits = [(np.flatnonzero(table.folds != k), np.flatnonzero(table.folds == k)) for k in np.unique(table.folds)]
        regions = torch.from_numpy(np.asarray(table.features.regions, dtype=np.float32))
        backbone = PrecomputedFeatures(regions.shape[-1], table.features.text)
        return World(backbone, table.class_names, regions, table.labels, splits)
    backbone = load_backbone("scenes")
    options = DataOptions(scenes_train=images, scenes_test=images)
    parts = [load_data(name, purpose, options) for purpose in ("train", "test")]
    regions = torch.cat([extract(FreshRegions(backbone, part.images))[1].regions for part in parts])
    split = np.arange(images), np.arange(images, 2 * images)
    return World(backbone, parts[0].class_names, regions, np.concatenate([part.labels for part in parts]), [split])


def mean_ap(scores: np.ndarray, labels: Labels, class_names: Sequence[str]) -> float:
    """Of classes that are present somewhere, in percent."""
    return 100 * evaluate(scores, labels, class_names, resamples=0).mean_ap


def shown(values: Sequence[float]) -> str:
    """Mean and 95 % interval of Student's t, of points gained."""
    middle = float(np.mean(values))
    if len(values) < 2:
        return f"{middle:+.2f}".replace("-", "−")
    low, high = interval(values)
    return f"{middle:+.2f} ({low:+.2f} to {high:+.2f})".replace("-", "−")


def plus_minus(values: Sequence[float]) -> str:
    """Mean and half the 95 % interval."""
    middle = float(np.mean(values))
    return f"{middle:.1f}" if len(values) < 2 else f"{middle:.1f} ± {interval(values)[1] - middle:.1f}"


def interval(values: Sequence[float]) -> tuple[float, float]:
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values) - half), float(np.mean(values) + half)


def parser(text: str, worlds: str, observed: str, seeds: int) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--worlds", default=worlds)
    made.add_argument("--observed", default=observed)
    made.add_argument("--seeds", type=int, default=seeds)
    made.add_argument("--images", type=int, default=600, help="scenes to train on, and as many to test on")
    made.add_argument("--cells", type=Path, default=None, help="a file of cells: continued, then shown")
    return made


def measured(
    asked: argparse.Namespace,
    load: Callable[[str, int], Any],
    cells_of: Callable[[Any, str, int], Iterator[dict[str, object]]],
) -> list[dict[str, str]]:
    """All cells of the command line: those of the file, and what is missing of them, written as it comes."""
    have = read_cells(asked.cells)
    done = {(row["world"], row["observed"], row["seed"]) for row in have}
    worlds, shares = asked.worlds.split(","), asked.observed.split(",")
    for name in worlds:
        wanted = [
            (share, seed)
            for share, seed in itertools.product(shares, range(asked.seeds))
            if (Path(name).stem, share, str(seed)) not in done
        ]
        world = load(name, asked.images) if wanted else None
        for share, seed in wanted:
            place = {"world": Path(name).stem, "observed": share, "seed": seed}
            found = [
                {key: str(value) for key, value in (place | cell).items()} for cell in cells_of(world, share, seed)
            ]
            write_cells(asked.cells, found, new=not have)
            have += found
    return have


def read_cells(path: Path | None) -> list[dict[str, str]]:
    if path is None or not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_cells(path: Path | None, rows: list[dict[str, str]], new: bool) -> None:
    if path is None:
        return
    with path.open("w" if new else "a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)
