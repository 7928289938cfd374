"""Methods × observed fractions × seeds on one data set: the paper's Table 1 as a grid of runs trained side by side.

All cells of a method are trained at once over the same batches (`training.fit_runs`), and kept in `cells.csv` as soon
as they are finished; a grid that was interrupted goes on after the last finished epoch.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptmlr.backbone import Backbone
from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.evaluation import bootstrap_map, evaluate
from promptmlr.experiments.grid.folder import Cell, GridFolder
from promptmlr.experiments.grid.results import GridResults
from promptmlr.experiments.grid.stack import Place, Stack, regions_identity
from promptmlr.features import RegionCache
from promptmlr.labels import UNKNOWN, Labels, hide, keep_mask
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.pipeline import images_sha256, labels_sha256, readable_regions, training_images
from promptmlr.prediction import predict_source
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import FreshRegions, RegionSource
from promptmlr.reporting import Reporter
from promptmlr.training import EpochReport, TrainingRun, fit_runs

__all__ = ["Grid", "compare", "decides", "scores"]

RESAMPLES = 1000  # of the test images


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
) -> GridResults:
    """Train and score every cell of the grid; those in `out/cells.csv` are done already.

    Args:
        grid: what is compared.
        train: images and labels to train on.
        test: images and labels to score on, with the same classes.
        backbone: the frozen CLIP.
        out: the folder of the cells (`GridFolder`).
        cache: where regions are stored.
        skip_unreadable: leave unreadable images out instead of refusing them.
        workers: threads that decode images.
        reporter: where to say how it goes.

    Returns:
        Their scores, in the order of the grid.

    Raises:
        UserError: an unknown method, a fraction outside (0, 1], test data with other classes, cells of another grid.
    """
    reporter = reporter or Reporter()
    test = test.with_classes(train.class_names)
    recipes = {method: load_recipe(grid.recipe, method, **grid.changes) for method in grid.methods}
    places = list(itertools.product(grid.observed, range(grid.seeds)))
    hidden = {place: hide(train.labels, keep_mask(train.labels.shape, *place)) for place in places}
    for (fraction, seed), labels in hidden.items():
        if not (labels != UNKNOWN).any():
            raise UserError(f"--observed {fraction:g} with seed {seed} leaves no label to learn from; observe more")
    folder = GridFolder(Path(out))
    settings = {
        method: decides(recipe, train, test, backbone, cache, grid.order_seed) for method, recipe in recipes.items()
    }
    with folder.held(settings):
        tested = FreshRegions(backbone, test.images, workers=workers, skip_unreadable=skip_unreadable)
        kept, source = readable_regions(tested, cache, reporter)
        score = partial(scores, source=source, labels=test.labels[kept])
        for method, recipe in recipes.items():
            for stack in _stacks(method, places, folder):
                images = training_images(
                    train, recipe, backbone, grid.order_seed, skip_unreadable=skip_unreadable, workers=workers
                )
                kept, regions = readable_regions(images, cache, reporter)
                runs = []
                for (fraction, seed), state in zip(stack.places, stack.states, strict=True):
                    start = recipe.start_options()
                    recognizer = create_recognizer(method, backbone, train.class_names, seed=seed, **start)
                    runs.append(TrainingRun(recognizer, hidden[fraction, seed][kept], recipe, state))
                stack.check_regions(folder.path, regions_identity(kept, regions))
                _train(stack, runs, regions, grid.order_seed, folder.path, reporter)
                for (fraction, seed), run in zip(stack.places, runs, strict=True):
                    learned = run.recognizer.learned_parameters() if METHOD_TABLE[method].trained else 0
                    mean_ap, resampled = score(run.recognizer)
                    seconds = round(stack.seconds / len(runs), 3)
                    folder.add(Cell(method, fraction, seed, mean_ap, learned, seconds), resampled)
                folder.save()
                stack.remove(folder.path)
    return folder.results(grid.methods, grid.observed, grid.seeds)


def scores(recognizer: Recognizer, source: RegionSource, labels: Labels) -> tuple[float, NDArray[np.float64]]:
    """MAP on the test images, and (S,) on resamples of them."""
    _, probabilities = predict_source(recognizer.fold(), source)
    mean_ap = evaluate(probabilities, labels, recognizer.class_names, resamples=0).mean_ap
    return mean_ap, bootstrap_map(probabilities, labels, RESAMPLES)


def _stacks(method: str, places: Sequence[Place], folder: GridFolder) -> list[Stack]:
    """The missing cells of a method, by what is trained at once: those that were interrupted, then the others."""
    missing = [place for place in places if (method, *place) not in folder.cells]
    begun = Stack.load(folder.path, method)
    if begun is None:
        return [Stack(method, missing)] if missing else []
    if all((method, *place) in folder.cells for place in begun.places):  # interrupted between the two files
        begun.remove(folder.path)
        return [Stack(method, missing)] if missing else []
    begun.check_asked(folder.path, missing)
    rest = [place for place in missing if place not in begun.places]
    return [begun, *([Stack(method, rest)] if rest else [])]


def _train(
    stack: Stack,
    runs: Sequence[TrainingRun],
    regions: RegionSource,
    order_seed: int,
    folder: Path,
    reporter: Reporter,
) -> None:
    """Train all runs of a stack at once; their state stays in the folder after every epoch."""
    if not METHOD_TABLE[stack.method].trained:
        return
    before = stack.epoch
    if before:
        reporter.note(f"{stack.method}: going on after epoch {before}")
    with reporter.progress(f"{stack.method}, {len(runs)} runs at once, epochs") as say:

        def on_epoch(done: Sequence[EpochReport]) -> None:
            stack.seconds += done[0].seconds
            stack.save(folder)
            say(done[0].epoch - before, done[0].epochs - before)

        fit_runs(runs, regions, order_seed=order_seed, on_epoch=on_epoch)


def decides(
    recipe: Recipe,
    train: LabelledImages,
    test: LabelledImages,
    backbone: Backbone,
    cache: RegionCache | None,
    order_seed: int,
) -> dict[str, Any]:
    """What decides a cell besides its place in the grid."""
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
    }
