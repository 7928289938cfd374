"""Methods × observed labels × seeds on one data set: the paper's Table 1 as a grid of runs trained side by side.

Cells of a method whose recipes share batches and epochs are trained at once (`training.fit_runs`), and kept in
`cells.csv` as soon as they are finished; a grid that was interrupted goes on after the last finished epoch. In
cross-validation every cell is trained once per fold.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from promptmlr.backbone import Backbone
from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.features import JobSettings, RegionCache, readable_regions
from promptmlr.labels import PRESENT
from promptmlr.methods import METHOD_TABLE
from promptmlr.paper.grid.cells import Shared, finished_cells, outcome_of
from promptmlr.paper.grid.folder import GridFolder, settings_key
from promptmlr.paper.grid.folds import Fold, folds_of, hold_out_images
from promptmlr.paper.grid.observed import kind_of
from promptmlr.paper.grid.plan import Condition, Grid
from promptmlr.paper.grid.results import GridResults
from promptmlr.paper.grid.stack import Stack
from promptmlr.paper.grid.unseen import class_groups
from promptmlr.pipeline import augmentation_of
from promptmlr.prior.positive_only import resolve_unknown
from promptmlr.recipes import Recipe
from promptmlr.reporting import Reporter, counted
from promptmlr.run import images_sha256, labels_sha256

__all__ = ["compare", "decides"]


def compare(
    grid: Grid,
    train: LabelledImages,
    test: LabelledImages | None,
    backbone: Backbone,
    out: str | Path,
    *,
    cache: RegionCache | None = None,
    skip_unreadable: bool = False,
    workers: int = 2,
    reporter: Reporter | None = None,
) -> GridResults:
    """Train and score every cell of the grid; those in `out/cells.csv` are done already.

    Args:
        grid: what is compared.
        train: images and labels to train on.
        test: images and labels to score on, with the same classes; None scores those of `train` out of fold, by its
            `folds`.
        backbone: the frozen CLIP.
        out: the folder of the cells (`GridFolder`).
        cache: where regions are stored.
        skip_unreadable: leave unreadable images out instead of refusing them.
        workers: threads that decode images.
        reporter: receives progress and messages.

    Returns:
        Their scores, in the order of the grid.

    Raises:
        UserError: an unknown method, more labels than are known, test data with other classes, no folds where they are
            needed, cells of another grid.
    """
    reporter = reporter or Reporter()
    folds = _folds(train, test)
    if grid.select == "val":
        folds = [hold_out_images(fold) for fold in folds]
    tested = train if test is None else test.with_classes(train.class_names)
    groups = class_groups(train.class_names, grid.unseen)
    recipes = grid.recipes(train.labels[folds[0].trained][:, groups.get("seen", groups["all"])])
    folder = GridFolder(Path(out), "compare")
    shared = Shared(grid, train, tested, folds, groups, recipes, backbone, folder, reporter)
    shared.check()
    common = {
        "select": grid.select,
        "folds": None if test is not None else _identity(train),
        "unseen": sorted(grid.unseen) or None,
    }
    settings = {
        settings_key(*condition): decides(recipe, train, tested, backbone, cache, grid.order_seed) | common
        for condition, recipe in recipes.items()
    }
    with folder.held(settings):
        reporter.note(_extent(shared, cache))
        if grid.select == "test":
            reporter.note("warning: epochs are selected on test data; compare only with papers that do the same")
        told = JobSettings(cache=cache, skip_unreadable=skip_unreadable, workers=workers, reporter=reporter)
        to_score = readable_regions(backbone, tested.images, **told)
        for stack in [stack for method in grid.methods for stack in _stacks(method, shared)]:
            recipe, to_train, to_select = recipes[stack.method, stack.conditions[0][0]], None, None
            if test is None and recipe.augmentation == "none":
                to_train = to_score
            elif shared.uses_labels(stack.method, stack.conditions[0]):
                augmentation = augmentation_of(recipe, grid.order_seed)
                to_train = readable_regions(backbone, train.images, augmentation, **told)
            if grid.select == "val" and METHOD_TABLE[stack.method].trained:
                as_it_is = recipe.augmentation == "none"
                to_select = to_train if as_it_is else readable_regions(backbone, train.images, **told)
            for fold in folds[len(stack.done) :]:
                stack.finish_fold(outcome_of(stack, fold, shared, to_train, to_score, to_select))
                if len(stack.done) < len(folds):
                    stack.save(folder.path)
            for cell, resampled in finished_cells(stack, shared):
                folder.add(cell, resampled)
            folder.save()
            stack.remove(folder.path)
    by_group = {name: folder.results(grid.methods, grid.observed, grid.seeds, name) for name in groups}
    if grid.empty_classes == "zero":
        shown = (tested.labels[to_score[0]] == PRESENT).any(axis=0)
        by_group = {
            name: found.with_empty_as_zero(float(shown[groups[name]].mean())) for name, found in by_group.items()
        }
    return replace(by_group.pop("all"), groups=by_group)


def _folds(train: LabelledImages, test: LabelledImages | None) -> list[Fold]:
    """The folds of the training images, or a single one of all images if there is a test split."""
    if test is not None:
        return [Fold(np.ones(len(train.images), dtype=np.bool_), np.ones(len(test.images), dtype=np.bool_))]
    if train.folds is None:
        raise UserError(f"{train.source}: nothing says which images go together; draw folds with --folds 5")
    return folds_of(train.folds)


def _stacks(method: str, shared: Shared) -> list[Stack]:
    """The missing cells of a method, in groups that are trained at once: first those that were interrupted."""
    grid, folder = shared.grid, shared.folder
    missing = [condition for condition in grid.conditions if not folder.has(method, *condition)]
    begun = Stack.load(folder.path, method)
    if begun is not None and all(folder.has(method, *condition) for condition in begun.conditions):
        begun.remove(folder.path)  # it was interrupted between the two files
        begun = None
    if begun is not None:
        begun.check_asked(folder.path, missing)
        missing = [condition for condition in missing if condition not in begun.conditions]
    together: dict[tuple[object, ...], list[Condition]] = {}
    for condition in missing:
        recipe = shared.recipes[method, condition[0]]
        # With a prior, each run skips images without observed labels of its own, so no batch can be shared.
        own = (
            condition
            if recipe.has_prior
            else [resolve_unknown(recipe, shared.observed_labels(condition, fold))[0].unknown for fold in shared.folds]
        )
        common = recipe.batch_size, recipe.epochs, recipe.augmentation, recipe.views, tuple(own)
        together.setdefault(common, []).append(condition)
    return [*([begun] if begun else []), *(Stack(method, conditions) for conditions in together.values())]


def _extent(shared: Shared, cache: RegionCache | None) -> str:
    """A line on the number of runs, images and finished cells."""
    grid, folder, images = shared.grid, shared.folder, len(shared.train.images)
    runs = [(method, *condition) for method in grid.methods for condition in grid.conditions]
    done = sum(folder.has(*run) for run in runs)
    ways = {"fraction": "fractions", "number": "numbers"}.get(kind_of(grid.observed), "protocols")
    kept = "no regions are kept" if cache is None else f"regions are kept in {cache.folder}"
    on = f"{images:,} training and {len(shared.test.images):,} test images"
    if len(shared.folds) > 1:
        on = f"{images:,} images in {len(shared.folds)} folds, each scored by what was trained on the others"
    return (
        f"{counted(len(runs), 'run')} ({counted(len(grid.methods), 'method')}, {ways} of labels: "
        f"{len(grid.observed)}, {counted(grid.seeds, 'seed')}; {done} finished before) on {on}; {kept}; results in "
        f"{folder.path}"
    )


def _identity(train: LabelledImages) -> dict[str, object]:
    """What identifies the folds in the settings."""
    assert train.folds is not None
    digest = hashlib.sha256(train.folds.astype("<i8").tobytes()).hexdigest()
    return {"number": len(np.unique(train.folds)), "sha256": digest}


def decides(
    recipe: Recipe,
    train: LabelledImages,
    test: LabelledImages,
    backbone: Backbone,
    cache: RegionCache | None,
    order_seed: int,
) -> dict[str, Any]:
    """All settings of a cell besides method, observed labels and seed."""
    return {
        "recipe": recipe.model_dump(),
        "order_seed": order_seed,
        "backbone": backbone.identity(),
        "storage": None if cache is None else cache.storage,
        "train": images_sha256(train.image_ids),
        "training_labels": labels_sha256(train.labels),
        "test": images_sha256(test.image_ids),
        "test_labels": labels_sha256(test.labels),
        "class_names": list(train.class_names),
        "features": [part.features and part.features.sha256 for part in (train, test)],
    }
