"""Methods × observed fractions × seeds on one data set: the paper's Table 1 as a grid of stacked columns.

All cells of a method are trained at once over the same batches (`training.fit_runs`), and kept in `cells.csv` as soon
as they are finished; a grid that was interrupted goes on with the methods that are missing.
"""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from promptmlr.backbone import Backbone
from promptmlr.data import LabelledImages
from promptmlr.experiments.grid_folder import Cell, GridFolder
from promptmlr.features import RegionCache
from promptmlr.files import write_text
from promptmlr.labels import hide, keep_mask
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.pipeline import images_sha256, readable_regions, score_on, training_images
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.regions import FreshRegions, RegionSource
from promptmlr.reporting import Reporter
from promptmlr.training import TrainingRun, fit_runs

__all__ = ["Grid", "compare", "table"]


@dataclass(frozen=True)
class Grid:
    """What is compared.

    Attributes:
        methods: names of `METHODS`.
        observed: fractions of the labels that training sees.
        seeds: how many seeds, 0, 1, …; each hides labels and draws random starts anew.
        order_seed: of the order of images, common to all cells.
        recipe: a name or a TOML file.
        changes: what replaces the recipe's values.
    """

    methods: Sequence[str]
    observed: Sequence[float]
    seeds: int
    order_seed: int
    recipe: str
    changes: Mapping[str, Any]


def compare(
    grid: Grid,
    train: LabelledImages,
    test: LabelledImages,
    backbone: Backbone,
    out: str | Path,
    *,
    cache: RegionCache | None = None,
    skip_unreadable: bool = False,
    workers: int = 2,
    reporter: Reporter | None = None,
) -> list[Cell]:
    """Train and score every cell of the grid; those in `out/cells.csv` are done already.

    Args:
        grid: what is compared.
        train: images and labels to train on.
        test: images and labels to score on, with the same classes.
        backbone: the frozen CLIP.
        out: the folder of `settings.json`, `cells.csv` and `table.md`.
        cache: where regions are stored.
        skip_unreadable: leave unreadable images out instead of refusing them.
        workers: threads that decode images.
        reporter: where to say how it goes.

    Returns:
        All cells, in the order of the grid.

    Raises:
        UserError: an unknown method, a fraction outside (0, 1], test data with other classes, cells of another grid.
    """
    reporter = reporter or Reporter()
    test = test.with_classes(train.class_names)
    recipes = {method: load_recipe(grid.recipe, method, **grid.changes) for method in grid.methods}
    places = list(itertools.product(grid.observed, range(grid.seeds)))
    hidden = {place: hide(train.labels, keep_mask(train.labels.shape, *place)) for place in places}
    folder = GridFolder(Path(out), {m: _setting(grid, recipe, train, test, backbone) for m, recipe in recipes.items()})

    tested = FreshRegions(backbone, test.images, workers=workers, skip_unreadable=skip_unreadable)
    kept, source = readable_regions(tested, cache, reporter)
    score = score_on(source, test.labels[kept])
    for method, recipe in recipes.items():
        missing = [place for place in places if (method, *place) not in folder.cells]
        if not missing:
            continue
        images = training_images(
            train, recipe, backbone, grid.order_seed, skip_unreadable=skip_unreadable, workers=workers
        )
        kept, regions = readable_regions(images, cache, reporter)
        runs = []
        for fraction, seed in missing:
            recognizer = create_recognizer(method, backbone, train.class_names, seed=seed, **recipe.start_options())
            runs.append(TrainingRun(recognizer, hidden[fraction, seed][kept], recipe))
        seconds = _train(method, runs, regions, grid.order_seed, reporter) / len(runs)
        for (fraction, seed), run in zip(missing, runs, strict=True):
            learned = run.recognizer.learned_parameters() if METHOD_TABLE[method].trained else 0
            folder.add(Cell(method, fraction, seed, score(run.recognizer.fold()), learned, round(seconds, 3)))
        folder.save()
    cells = [folder.cells[method, *place] for method in recipes for place in places]
    write_text(folder.path / "table.md", table(cells) + "\n")
    return cells


def _train(
    method: str, runs: Sequence[TrainingRun], regions: RegionSource, order_seed: int, reporter: Reporter
) -> float:
    """Train all runs of a method at once; the seconds it took."""
    begin = time.perf_counter()
    if METHOD_TABLE[method].trained:
        with reporter.progress(f"{method}, {len(runs)} runs at once, epochs") as say:
            fit_runs(runs, regions, order_seed=order_seed, on_epoch=lambda done: say(done[0].epoch, done[0].epochs))
    return time.perf_counter() - begin


def table(cells: Sequence[Cell]) -> str:
    """Mean mAP over seeds in percent, with their standard deviation where there are several, as Markdown."""
    methods, fractions = (list(dict.fromkeys(getattr(cell, key) for cell in cells)) for key in ("method", "observed"))
    seeds = len({cell.seed for cell in cells})
    lines = [
        "| method | " + " | ".join(f"{100 * fraction:g} %" for fraction in fractions) + " | learned |",
        "|---|" + "---:|" * (len(fractions) + 1),
    ]
    for method in methods:
        own = [cell for cell in cells if cell.method == method]
        words = []
        for fraction in fractions:
            scores = 100 * np.array([cell.mean_ap for cell in own if cell.observed == fraction])
            spread = f" ± {scores.std(ddof=1):.1f}" if len(scores) > 1 else ""
            words.append(f"{scores.mean():.1f}{spread}")
        lines.append(f"| {method} | " + " | ".join(words) + f" | {own[0].learned_parameters:,} |")
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    return "\n".join(lines) + (
        f"\n\nmAP on the test images in percent, by observed labels; {spread}. All runs share the order of images, so "
        "the spread leaves out what another order would add."
    )


def _setting(
    grid: Grid, recipe: Recipe, train: LabelledImages, test: LabelledImages, backbone: Backbone
) -> dict[str, Any]:
    """What decides a cell besides its place in the grid."""
    return {
        "recipe": recipe.model_dump(),
        "order_seed": grid.order_seed,
        "backbone": backbone.identity(),
        "train": images_sha256(train.image_ids),
        "test": images_sha256(test.image_ids),
        "class_names": list(train.class_names),
    }
