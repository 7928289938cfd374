"""Grids over worlds: known labels of both kinds, and ticks alone; what is finished stays."""

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
from promptmlr.paper.jobs import finished
from promptmlr.reporting import Reporter

__all__ = ["ANCHORED", "FewLabels", "FewLabelsResults", "run_few_labels"]

ANCHORED = "anchored"
TICKS = "single-positive"


@dataclass(frozen=True)
class FewLabels:
    """What is measured.

    Attributes:
        worlds: drawn worlds, as `load_data` takes them.
        labels: numbers of known labels.
        ticked_images: numbers of images of which each has one present label, and no other label.
        methods: beside zero-shot and the anchored method.
        seeds: masks, in every world.
        train_scenes: images that labels are drawn from.
        test_scenes: images that are scored.
    """

    worlds: Sequence[str]
    labels: Sequence[int]
    ticked_images: Sequence[int]
    methods: Sequence[str]
    seeds: int
    train_scenes: int
    test_scenes: int


@dataclass(frozen=True, eq=False)
class FewLabelsResults:
    """Finished grids.

    Attributes:
        plan: what was asked.
        known: world → its grid over numbers of labels.
        ticks: (world, images) → its grid of ticks.
    """

    plan: FewLabels
    known: dict[str, GridResults]
    ticks: dict[tuple[str, int], GridResults]


def run_few_labels(
    plan: FewLabels, out: str | Path, *, jobs: int = 1, reporter: Reporter | None = None
) -> FewLabelsResults:
    """Train and score every cell; those in the folders below `out` are done already.

    Args:
        plan: what to do.
        out: a folder, with a grid's folder per world, and one per number of ticked images.
        jobs: processes.
        reporter: where to say how it goes.

    Raises:
        UserError: there is no such world or method, or a folder holds cells of other settings.
    """
    counts: list[int | None] = [None, *plan.ticked_images]
    tasks = [(world, ticks) for world in plan.worlds for ticks in counts]
    results = FewLabelsResults(plan, {}, {})
    for (world, ticks), found in finished(_grid, (plan, Path(out)), tasks, jobs, label="grids", reporter=reporter):
        if ticks is None:
            results.known[world] = found
        else:
            results.ticks[world, ticks] = found
    return results


def _grid(world: tuple[FewLabels, Path], task: tuple[str, int | None]) -> GridResults:
    """One grid, in a process of its own."""
    plan, out = world
    name, ticks = task
    options = DataOptions(scenes_train=max(plan.train_scenes, *plan.ticked_images), scenes_test=plan.test_scenes)
    train, test = (load_data(name, purpose=purpose, options=options) for purpose in ("train", "test"))
    train = train.rows(np.arange(plan.train_scenes if ticks is None else ticks))
    observed = [TICKS] if ticks is not None else [observed_as(Observation("labels", count)) for count in plan.labels]
    methods = [ANCHORED, ZERO_SHOT, *(plan.methods if ticks is None else ())]
    grid = Grid(methods, observed, plan.seeds, 0, "default", {})
    folder = out / name.replace(":", "-") / ("labels" if ticks is None else f"ticks-{ticks}")
    return compare(grid, train, test, open_backbone("scenes"), folder)
