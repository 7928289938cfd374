"""Grids on several worlds: with known labels of both kinds, and with a single positive label per image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from promptmlr.backbone import open_backbone
from promptmlr.data import DataOptions, load_data
from promptmlr.labels import Observation
from promptmlr.paper.grid.compare import compare
from promptmlr.paper.grid.observed import observed_as
from promptmlr.paper.grid.plan import ZERO_SHOT, Grid
from promptmlr.paper.grid.results import GridResults
from promptmlr.paper.jobs import completed_tasks
from promptmlr.reporting import Reporter

__all__ = ["ANCHORED", "FewLabels", "FewLabelsResults", "run_few_labels"]

ANCHORED = "anchored"
SINGLE_POSITIVE = "single-positive"


@dataclass(frozen=True)
class FewLabels:
    """What is measured.

    Attributes:
        worlds: drawn worlds, as `load_data` takes them.
        labels: numbers of known labels.
        single_positive_images: numbers of images that have one present label each and no other label.
        methods: besides zero-shot and the anchored method.
        seeds: number of masks in every world.
        train_scenes: images that labels are drawn from.
        test_scenes: images that are scored.
    """

    worlds: Sequence[str]
    labels: Sequence[int]
    single_positive_images: Sequence[int]
    methods: Sequence[str]
    seeds: int
    train_scenes: int
    test_scenes: int


@dataclass(frozen=True, eq=False)
class FewLabelsResults:
    """Finished grids.

    Attributes:
        plan: the plan that was run.
        known: world → its grid over numbers of labels.
        single_positive: (world, images) → its grid with one present label per image.
    """

    plan: FewLabels
    known: dict[str, GridResults]
    single_positive: dict[tuple[str, int], GridResults]


def run_few_labels(
    plan: FewLabels, out: str | Path, *, jobs: int = 1, reporter: Reporter | None = None
) -> FewLabelsResults:
    """Train and score every cell that the folders below `out` do not hold yet.

    Args:
        plan: what is measured.
        out: a folder with a grid's folder per world, and one per number of images with a single positive.
        jobs: processes.
        reporter: receives progress and messages.

    Raises:
        UserError: there is no such world or method, or a folder holds cells of other settings.
    """
    counts: list[int | None] = [None, *plan.single_positive_images]
    tasks = [(world, images) for world in plan.worlds for images in counts]
    results = FewLabelsResults(plan, {}, {})
    for (world, images), found in completed_tasks(
        _grid, (plan, Path(out)), tasks, jobs, label="grids", reporter=reporter
    ):
        if images is None:
            results.known[world] = found
        else:
            results.single_positive[world, images] = found
    return results


def _grid(shared: tuple[FewLabels, Path], task: tuple[str, int | None]) -> GridResults:
    """Run one grid in a process of its own."""
    plan, out = shared
    name, images = task
    options = DataOptions(
        scenes_train=max(plan.train_scenes, *plan.single_positive_images), scenes_test=plan.test_scenes
    )
    train, test = (load_data(name, purpose=purpose, options=options) for purpose in ("train", "test"))
    train = train.rows(np.arange(plan.train_scenes if images is None else images))
    observed = (
        [SINGLE_POSITIVE]
        if images is not None
        else [observed_as(Observation("labels", count)) for count in plan.labels]
    )
    methods = [ANCHORED, ZERO_SHOT, *(plan.methods if images is None else ())]
    grid = Grid(methods, observed, plan.seeds, 0, "default", {})
    folder = out / name.replace(":", "-") / ("labels" if images is None else f"single-positive-{images}")
    return compare(grid, train, test, open_backbone("scenes"), folder)
