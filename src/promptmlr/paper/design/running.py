"""The design on one data set: every cell at every observed fraction, saved in a folder as soon as it is finished."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

from promptmlr.backbone import Backbone
from promptmlr.data import LabelledImages
from promptmlr.features import JobSettings, RegionCache, readable_regions
from promptmlr.paper.design.cells import CELLS
from promptmlr.paper.design.choices import CellChoice, read_choices, write_choices
from promptmlr.paper.design.search import SearchRule
from promptmlr.paper.design.training import Shared, run_cell
from promptmlr.paper.grid.compare import decides
from promptmlr.paper.grid.folder import GridFolder
from promptmlr.paper.grid.results import GridResults
from promptmlr.paper.jobs import completed_tasks
from promptmlr.pipeline import augmentation_of
from promptmlr.recipes import Recipe
from promptmlr.reporting import Reporter

__all__ = ["Design", "run_design"]


@dataclass(frozen=True)
class Design:
    """The other factors of the design, and how its cells are trained.

    Attributes:
        observed: fractions of the labels that training sees.
        seeds: how many seeds, 0, 1, …; each hides labels and draws random starts anew.
        recipe: starts of prompts, and the rates and batch size that the search starts from.
        rule: how rates and epochs are searched.
        order_seed: of the order of images, common to all cells.
    """

    observed: Sequence[float]
    seeds: int
    recipe: Recipe
    rule: SearchRule
    order_seed: int = 0


def run_design(
    design: Design,
    train: LabelledImages,
    test: LabelledImages,
    backbone: Backbone,
    out: str | Path,
    *,
    cache: RegionCache | None = None,
    skip_unreadable: bool = False,
    workers: int = 2,
    jobs: int = 1,
    reporter: Reporter | None = None,
) -> tuple[GridResults, list[CellChoice]]:
    """Search, train and score every cell that `out` does not hold yet.

    Args:
        design: fractions, seeds, and how cells are trained.
        train: images and labels to train on.
        test: images and labels to score on, with the same classes.
        backbone: the frozen CLIP.
        out: the folder of the cells (`GridFolder`), with `choices.csv` and `curves.csv` beside them.
        cache: where regions are stored.
        skip_unreadable: leave unreadable images out instead of refusing them.
        workers: threads that decode images.
        jobs: processes that train cells.
        reporter: receives progress and messages.

    Returns:
        The scores, and the chosen rates and epochs of every cell and fraction.

    Raises:
        UserError: a fraction outside (0, 1] or too small to hold labels out, test data with other classes, or a folder
            of another design.
    """
    reporter = reporter or Reporter()
    test = test.with_classes(train.class_names)
    folder = GridFolder(Path(out), "compare --design")
    setting = decides(design.recipe, train, test, backbone, cache, design.order_seed) | {"rule": asdict(design.rule)}
    with folder.held({cell.name: setting for cell in CELLS}):
        choices = {(found.cell, found.observed): found for found in read_choices(folder.path)}
        earlier = {cell: found.choice for cell, found in choices.items()}
        missing = [
            (cell, fraction, earlier.get((cell.name, fraction)))
            for cell, fraction in product(CELLS, design.observed)
            if not folder.has_all(cell.name, fraction, design.seeds)
        ]
        cells = len(CELLS) * len(design.observed)
        reporter.note(
            f"{cells} cells ({len(CELLS)} pairs of sides, fractions of labels: {len(design.observed)}; "
            f"{cells - len(missing)} finished before), each searched with {design.rule.seeds} and scored with "
            f"{design.seeds} seeds; results in {folder.path}"
        )
        if missing:
            settings = JobSettings(cache=cache, skip_unreadable=skip_unreadable, workers=workers, reporter=reporter)
            augmentation = augmentation_of(design.recipe, design.order_seed)
            kept, regions = readable_regions(backbone, train.images, augmentation, **settings)
            kept_test, test_regions = readable_regions(backbone, test.images, **settings)
            shared = Shared(
                backbone,
                train.class_names,
                regions,
                train.labels[kept],
                test_regions,
                test.labels[kept_test],
                design.recipe,
                design.rule,
                design.seeds,
                design.order_seed,
            )
            trained = completed_tasks(run_cell, shared, missing, jobs, label="cells of the design", reporter=reporter)
            for (cell, fraction, _), found in trained:
                choices[cell.name, fraction] = CellChoice(cell.name, fraction, found.choice, found.saturated)
                write_choices(folder.path, choices.values())
                found.add_to(folder, cell.name, fraction)
    asked = [(cell.name, fraction) for cell, fraction in product(CELLS, design.observed)]
    results = folder.results([cell.name for cell in CELLS], design.observed, design.seeds)
    return results, [choices[cell] for cell in asked]
