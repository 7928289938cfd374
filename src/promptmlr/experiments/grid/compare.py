"""Methods × observed labels × seeds on one data set: the paper's Table 1 as a grid of runs trained side by side.

Cells of a method whose recipes share batches and epochs are trained at once (`training.fit_runs`), and kept in
`cells.csv` as soon as they are finished; a grid that was interrupted goes on after the last finished epoch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptmlr.backbone import Backbone
from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.experiments.grid.folder import Cell, GridFolder, place_name
from promptmlr.experiments.grid.observed import Observed, as_asked, kind_of, observation_of
from promptmlr.experiments.grid.plan import Grid, Place
from promptmlr.experiments.grid.results import GridResults
from promptmlr.experiments.grid.scoring import Score, mean_aps, score
from promptmlr.experiments.grid.stack import Stack, regions_identity
from promptmlr.features import RegionCache
from promptmlr.labels import UNKNOWN, Labels, hide
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.pipeline import images_sha256, labels_sha256, readable_regions, training_images
from promptmlr.prior.fitting import begin_run
from promptmlr.prior.ticks import settled
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import FreshRegions, RegionSource
from promptmlr.reporting import Reporter, counted
from promptmlr.training import EpochReport, TrainingRun, fit_runs

__all__ = ["compare", "decides"]


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
        UserError: an unknown method, more labels than are known, test data with other classes, cells of another grid.
    """
    reporter = reporter or Reporter()
    test = test.with_classes(train.class_names)
    recipes = grid.recipes(train.labels)
    hidden = {
        (seen, seed): hide(train.labels, observation_of(seen).keep(train.labels, seed)) for seen, seed in grid.places
    }
    for (seen, seed), labels in hidden.items():
        if not (labels != UNKNOWN).any():
            raise UserError(f"{as_asked([seen])} with seed {seed} leaves no label to learn from; observe more")
    folder = GridFolder(Path(out), "compare")
    settings = {
        place_name(*place): decides(recipe, train, test, backbone, cache, grid.order_seed) | {"select": grid.select}
        for place, recipe in recipes.items()
    }
    with folder.held(settings):
        reporter.note(_extent(grid, folder, train, test, cache))
        if grid.select == "test":
            reporter.note("warning: epochs are selected on test data; compare only with papers that do the same")
        tested = FreshRegions(backbone, test.images, workers=workers, skip_unreadable=skip_unreadable)
        kept, source = readable_regions(tested, cache, reporter)
        known = test.labels[kept]
        for stack in [stack for method in grid.methods for stack in _stacks(method, recipes, hidden, grid, folder)]:
            images = training_images(
                train,
                recipes[stack.method, stack.places[0][0]],
                backbone,
                grid.order_seed,
                skip_unreadable=skip_unreadable,
                workers=workers,
            )
            kept, regions = readable_regions(images, cache, reporter)
            stack.check_regions(folder.path, regions_identity(kept, regions))
            runs, starts = [], []
            for (seen, seed), state in zip(stack.places, stack.states, strict=True):
                recipe = recipes[stack.method, seen]
                start = recipe.start_options()
                recognizer = create_recognizer(stack.method, backbone, train.class_names, seed=seed, **start)
                begun = begin_run(
                    recognizer,
                    regions,
                    hidden[seen, seed][kept],
                    recipe,
                    seed=seed,
                    order_seed=grid.order_seed,
                    state=state,
                )
                runs.append(begun.run)
                starts.append(begun.run.recognizer.fold())
            selection = partial(mean_aps, source=source, labels=known) if grid.select == "test" else None
            _train(stack, runs, regions, grid.order_seed, selection, folder.path, reporter)
            alike = not METHOD_TABLE[stack.method].trained and runs[0].recognizer.scaling is None
            distinct = 1 if alike else len(runs)
            trained = [run.recognizer.fold() for run in runs[:distinct]]
            scored = islice(cycle(score(starts[:distinct], trained, source, known)), len(runs))
            for cell, resampled in _cells(stack, runs, scored):
                folder.add(cell, resampled)
            folder.save()
            stack.remove(folder.path)
    return folder.results(grid.methods, grid.observed, grid.seeds)


def _cells(
    stack: Stack, runs: Sequence[TrainingRun], scored: Iterable[tuple[Score, NDArray[np.float64]]]
) -> Iterator[tuple[Cell, NDArray[np.float64]]]:
    """The finished cells of a stack, and (S,) mAP of each on resamples of the test images."""
    trained = METHOD_TABLE[stack.method].trained
    for (seen, seed), run, (found, resampled) in zip(stack.places, runs, scored, strict=True):
        yield (
            Cell(
                stack.method,
                seen,
                seed,
                **asdict(found),
                learned_parameters=run.recognizer.learned_parameters() if trained else 0,
                epoch=run.state.best_epoch or run.state.epoch,
                seconds=round(stack.seconds / len(runs), 3),
            ),
            resampled,
        )


def _stacks(
    method: str,
    recipes: Mapping[tuple[str, Observed], Recipe],
    hidden: Mapping[Place, Labels],
    grid: Grid,
    folder: GridFolder,
) -> list[Stack]:
    """The missing cells of a method, by what is trained at once: those that were interrupted, then the others."""
    missing = [place for place in grid.places if (method, *place) not in folder.cells]
    begun = Stack.load(folder.path, method)
    if begun is not None and all((method, *place) in folder.cells for place in begun.places):
        begun.remove(folder.path)  # it was interrupted between the two files
        begun = None
    if begun is not None:
        begun.check_asked(folder.path, missing)
        missing = [place for place in missing if place not in begun.places]
    together: dict[tuple[object, ...], list[Place]] = {}
    for place in missing:
        recipe, _ = settled(recipes[method, place[0]], hidden[place])
        # With a prior, a run goes through the images alone that have a label of its own, so nothing is shared.
        own = place if recipe.has_prior else None
        shared = recipe.batch_size, recipe.epochs, recipe.augmentation, recipe.views, recipe.unknown, own
        together.setdefault(shared, []).append(place)
    return [*([begun] if begun else []), *(Stack(method, places) for places in together.values())]


def _train(
    stack: Stack,
    runs: Sequence[TrainingRun],
    regions: RegionSource,
    order_seed: int,
    score: Callable[[Sequence[Recognizer]], Sequence[float]] | None,
    folder: Path,
    reporter: Reporter,
) -> None:
    """Train all runs of a stack at once; their state stays in the folder after every epoch."""
    if not METHOD_TABLE[stack.method].trained:
        return
    before, epochs = stack.epoch, runs[0].recipe.epochs
    if before:
        reporter.note(f"{stack.method}: going on after epoch {before}")
    if isinstance(regions, FreshRegions):
        count = (epochs - before) * len(regions)
        views = counted(epochs - before, "epoch")
        reporter.note(f"{stack.method}: {count:,} images go through the tower, {views} of new views")
    with reporter.progress(f"{stack.method}, {counted(len(runs), 'run')} at once, steps") as say:

        def on_epoch(done: Sequence[EpochReport]) -> None:
            stack.seconds += done[0].seconds
            stack.save(folder)

        def on_step(done: int, planned: int) -> None:
            say((stack.epoch - before) * planned + done, (epochs - before) * planned)

        fit_runs(runs, regions, order_seed=order_seed, score=score, on_epoch=on_epoch, on_step=on_step)


def _extent(
    grid: Grid, folder: GridFolder, train: LabelledImages, test: LabelledImages, cache: RegionCache | None
) -> str:
    """How much there is to do."""
    runs = [(method, *place) for method in grid.methods for place in grid.places]
    done = sum(key in folder.cells for key in runs)
    ways = {"fraction": "fractions", "number": "numbers"}.get(kind_of(grid.observed), "protocols")
    kept = "no regions are kept" if cache is None else f"regions are kept in {cache.folder}"
    return (
        f"{counted(len(runs), 'run')} ({counted(len(grid.methods), 'method')}, {ways} of labels: "
        f"{len(grid.observed)}, {counted(grid.seeds, 'seed')}; {done} finished before) on "
        f"{len(train.images):,} training and {len(test.images):,} test images; {kept}; results in {folder.path}"
    )


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
        "features": [part.features and part.features.sha256 for part in (train, test)],
    }
