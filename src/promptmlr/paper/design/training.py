"""One cell of the design at one observed fraction: its rates and epochs searched, then trained and scored."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from promptmlr.backbone import Backbone
from promptmlr.errors import UserError
from promptmlr.labels import PRESENT, Labels, hide, hold_out, keep_mask
from promptmlr.paper.design.cells import Cell, build, saturated_share
from promptmlr.paper.design.search import Choice, SearchRule, choose
from promptmlr.paper.grid import folder as grid
from promptmlr.paper.grid.folder import GridFolder
from promptmlr.paper.grid.scoring import Score, first_regions, score
from promptmlr.pipeline import score_on
from promptmlr.recipes import Recipe
from promptmlr.regions import RegionSource
from promptmlr.training import TrainingRun, fit_runs

__all__ = ["CellScores", "Shared", "run_cell", "saturated_at_start", "score_cell", "search"]

RATES = ("context_rate", "embedding_rate", "linear_rate")


@dataclass(frozen=True)
class Shared:
    """What all cells share.

    Attributes:
        backbone: the frozen CLIP.
        class_names: C names.
        train: regions of N images.
        labels: (N, C) int8, before any are hidden.
        test: regions of N' images.
        test_labels: (N', C) int8.
        recipe: rates and batch size that the search starts from.
        rule: how rates and epochs are searched.
        seeds: number of masks and starts that are scored.
        order_seed: of the order of images.
    """

    backbone: Backbone
    class_names: Sequence[str]
    train: RegionSource
    labels: Labels
    test: RegionSource
    test_labels: Labels
    recipe: Recipe
    rule: SearchRule
    seeds: int
    order_seed: int = 0


@dataclass(frozen=True, eq=False)
class CellScores:
    """A finished cell at one observed fraction.

    Attributes:
        choice: its rates and epochs.
        saturated: share of saturated margins at the start.
        scores: on the test images, one for each of K seeds.
        resampled: (K, S) mAP on resamples of the test images.
        learned_parameters: of one run.
        seconds: of the K trainings, without the search.
    """

    choice: Choice
    saturated: float
    scores: Sequence[Score]
    resampled: NDArray[np.float64]
    learned_parameters: int
    seconds: float

    def add_to(self, folder: GridFolder, name: str, observed: float) -> None:
        """Add a row per seed to a folder of cells, and write it."""
        for seed, (found, resampled) in enumerate(zip(self.scores, self.resampled, strict=True)):
            row = grid.Cell(
                name,
                observed,
                seed,
                **asdict(found),
                learned_parameters=self.learned_parameters,
                epoch=self.choice.epochs,
                seconds=round(self.seconds / len(self.scores), 3),
            )
            folder.add(row, resampled)
        folder.save()


def run_cell(shared: Shared, task: tuple[Cell, float, Choice | None]) -> CellScores:
    """Search rates and epochs on held-out observed labels, then train on all observed ones and score.

    Args:
        shared: what all cells share.
        task: the cell, the observed fraction, and the choice of an earlier search or None.

    Raises:
        UserError: too few labels are observed to hold some out.
    """
    cell, fraction, choice = task
    return score_cell(shared, cell, fraction, choice or search(shared, cell, fraction))


def search(shared: Shared, cell: Cell, fraction: float) -> Choice:
    """Rates and epochs of a cell, by the rule of `shared`."""
    rule = shared.rule
    parted = []
    for seed in range(rule.seeds):
        fitted, held = hold_out(_observed(shared, fraction, seed), rule.held_out, seed)
        if not (held == PRESENT).any():
            raise UserError(
                f"--observed {fraction:g}: none of the labels held out with seed {seed} is present, so rates cannot be "
                "chosen on them; observe more"
            )
        parted.append((fitted, held))

    def train(factors: Sequence[float], epochs: int) -> list[float]:
        runs = [
            _run(shared, cell, fitted, factor, epochs, seed)
            for factor in factors
            for seed, (fitted, _) in enumerate(parted)
        ]
        fit_runs(runs, shared.train, order_seed=shared.order_seed)
        labels = [held for _ in factors for _, held in parted]
        found = [score_on(shared.train, held)(run.recognizer.fold()) for run, held in zip(runs, labels, strict=True)]
        return list(np.reshape(found, (len(factors), -1)).mean(axis=1))

    return choose(train, rule)


def score_cell(shared: Shared, cell: Cell, fraction: float, choice: Choice) -> CellScores:
    """Train a cell on all observed labels with every seed, and score it on the test images."""
    labels = [_observed(shared, fraction, seed) for seed in range(shared.seeds)]
    runs = [_run(shared, cell, known, choice.factor, choice.epochs, seed) for seed, known in enumerate(labels)]
    starts = [run.recognizer.fold() for run in runs]
    saturated = saturated_at_start(shared, cell)
    begin = time.perf_counter()
    fit_runs(runs, shared.train, order_seed=shared.order_seed)
    seconds = time.perf_counter() - begin
    found = list(score(starts, [run.recognizer.fold() for run in runs], shared.test, shared.test_labels))
    return CellScores(
        choice,
        saturated,
        [one for one, _ in found],
        np.array([resampled for _, resampled in found]),
        runs[0].recognizer.learned_parameters(),
        seconds,
    )


def saturated_at_start(shared: Shared, cell: Cell) -> float:
    """The share of margins that start saturated (`cells.saturated_share`), mean over the seeds."""
    regions = first_regions(shared.train)
    starts = [
        build(cell, shared.backbone, shared.class_names, regions, shared.recipe, seed) for seed in range(shared.seeds)
    ]
    return float(np.mean([saturated_share(start, regions) for start in starts]))


def _observed(shared: Shared, fraction: float, seed: int) -> Labels:
    return hide(shared.labels, keep_mask(shared.labels.shape, fraction, seed))


def _run(shared: Shared, cell: Cell, labels: Labels, factor: float, epochs: int, seed: int) -> TrainingRun:
    recipe = shared.recipe.model_copy(
        update={"epochs": epochs} | {rate: factor * getattr(shared.recipe, rate) for rate in RATES}
    )
    regions = first_regions(shared.train)
    recognizer = build(cell, shared.backbone, shared.class_names, regions, recipe, seed)
    return TrainingRun(recognizer, labels, recipe)
