"""From a stack to its finished cells: trained fold by fold, and scored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from promptmlr.backbone import Backbone
from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.labels import PRESENT, UNKNOWN, Labels, hide
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.paper.grid.folder import Cell, GridFolder
from promptmlr.paper.grid.folds import Fold
from promptmlr.paper.grid.observed import Observed, as_asked, observation_of
from promptmlr.paper.grid.plan import Condition, Grid
from promptmlr.paper.grid.scoring import Score, displacement, first_regions, mean_aps, score_folds
from promptmlr.paper.grid.stack import Outcome, Stack, regions_identity
from promptmlr.prediction import predict_together
from promptmlr.prior.fitting import begin_run
from promptmlr.prior.recalibration import recalibrate
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import FreshRegions, Indices, RegionSource, SelectedRegions
from promptmlr.reporting import Reporter, counted
from promptmlr.run.state import Due
from promptmlr.training import EpochReport, TrainingRun, fit_runs

__all__ = ["Regions", "Shared", "finished_cells", "outcome_of"]

Regions = tuple[Indices, RegionSource]  # indices of the readable images, and their regions


@dataclass(frozen=True, eq=False)
class Shared:
    """What all stacks share: the arguments of `compare`, and what follows from them."""

    grid: Grid
    train: LabelledImages
    test: LabelledImages
    folds: Sequence[Fold]
    groups: Mapping[str, NDArray[np.intp]]
    recipes: Mapping[tuple[str, Observed], Recipe]
    backbone: Backbone
    folder: GridFolder
    reporter: Reporter

    def observed_labels(self, condition: Condition, fold: Fold) -> Labels:
        """(N, C) the labels that training sees under a condition in a fold, -1 where they are hidden."""
        observed, seed = condition
        labels = self._labels_of(fold.trained)
        return hide(labels, self.train.kept(observation_of(observed), seed, labels))

    def validation_labels(self, fold: Fold) -> Labels:
        """(N, C) the labels that epochs are chosen by: all of the held-out images and of classes that training sees."""
        assert fold.validated is not None
        return self._labels_of(fold.validated)

    def _labels_of(self, images: NDArray[np.bool_]) -> Labels:
        """(N, C) the labels of some images, without those of classes that are unseen in training."""
        classes = np.isin(np.arange(len(self.train.class_names)), self.groups.get("seen", self.groups["all"]))
        return hide(self.train.labels, np.outer(images, classes))

    def uses_labels(self, method: str, condition: Condition) -> bool:
        """Whether a method's scores depend on labels and seeds: it is trained, or calibrated on labels."""
        return METHOD_TABLE[method].trained or self.recipes[method, condition[0]].has_prior

    def check(self) -> None:
        """Refuse what cannot be trained or scored, before any training starts.

        Raises:
            UserError: a condition leaves no labels or asks for more than are known; a fold has no present label.
        """
        for number, fold in enumerate(self.folds):
            where = f" (fold {number + 1} of {len(self.folds)})" if len(self.folds) > 1 else ""
            if fold.validated is not None and not (self.validation_labels(fold) == PRESENT).any():
                count = counted(int(fold.validated.sum()), "held-out image")
                raise UserError(f"--select val{where}: no class is present in {count}; use --select last")
            for observed, seed in self.grid.conditions:
                try:
                    known = self.observed_labels((observed, seed), fold) != UNKNOWN
                except UserError as error:
                    raise UserError(f"{as_asked([observed])}{where}: {error}") from error
                if not known.any():
                    asked = as_asked([observed])
                    raise UserError(f"{asked} with seed {seed}{where} leaves no label to learn from; observe more")
            for group, columns in self.groups.items():
                if not (self.test.labels[fold.tested][:, columns] == PRESENT).any():
                    which = "" if group == "all" else f"{group} "
                    raise UserError(
                        f"{self.test.source}{where}: no {which}class has a label present, so nothing can be scored"
                    )


def outcome_of(
    stack: Stack,
    fold: Fold,
    shared: Shared,
    to_train: Regions | None,
    to_score: Regions,
    to_select: Regions | None = None,
) -> Outcome:
    """Train the cells of a stack in one fold, and predict its test images.

    Args:
        stack: the cells.
        fold: which images are trained on, scored and, perhaps, used to choose epochs.
        shared: what all stacks share.
        to_train: regions of the training images; None where nothing depends on labels.
        to_score: regions of the test images.
        to_select: regions of the training images as they are, where epochs are chosen on some of them.
    """
    uses_labels = shared.uses_labels(stack.method, stack.conditions[0])
    conditions = stack.conditions if uses_labels else stack.conditions[:1]
    recognizers = [
        create_recognizer(
            stack.method,
            shared.backbone,
            shared.train.class_names,
            seed=seed,
            **shared.recipes[stack.method, observed].start_options(),
        )
        for observed, seed in conditions
    ]
    kept, source = _some(to_score, fold.tested)
    if uses_labels and to_train is not None:
        stack.check_regions(shared.folder.path, regions_identity(*to_train))
        rows, regions = _some(to_train, fold.trained)
        begun = [
            begin_run(
                recognizer,
                regions,
                shared.observed_labels(condition, fold)[rows],
                shared.recipes[stack.method, condition[0]],
                seed=condition[1],
                order_seed=shared.grid.order_seed,
                state=state,
            )
            for condition, recognizer, state in zip(conditions, recognizers, stack.states, strict=True)
        ]
        starts = [recognizer.fold() for recognizer in recognizers]
        selection = _selection(shared, fold, (kept, source), to_select)
        if METHOD_TABLE[stack.method].trained:
            runs = [one.run for one in begun]
            _train(stack, runs, regions, shared, selection)
            for one in begun:
                recalibrate(one)
    else:
        starts = [recognizer.fold() for recognizer in recognizers]
    folded = [recognizer.fold() for recognizer in recognizers]
    read, probabilities = predict_together(folded, source)
    first = first_regions(source)
    displacements = [displacement(*pair, first) for pair in zip(starts, folded, strict=True)]
    cells, trained = len(stack.conditions), METHOD_TABLE[stack.method].trained
    return Outcome(
        rows=torch.from_numpy(kept[read]),
        probabilities=torch.from_numpy(np.stack(probabilities)).expand(cells, -1, -1),
        displacement=torch.tensor(displacements, dtype=torch.float64).expand(cells, -1),
        epochs=torch.tensor([state.best_epoch or state.epoch for state in stack.states]),
        learned=torch.tensor([trained * one.learned_parameters() for one in recognizers]).expand(cells),
    )


def _selection(
    shared: Shared, fold: Fold, scored: Regions, to_select: Regions | None
) -> Callable[[Sequence[Recognizer]], Sequence[float]] | None:
    """The score by which an epoch is kept; None keeps the last."""
    if shared.grid.select == "test":
        kept, source = scored
        return partial(mean_aps, source=source, labels=shared.test.labels[kept])
    if to_select is None or fold.validated is None:
        return None
    kept, source = _some(to_select, fold.validated)
    return partial(mean_aps, source=source, labels=shared.validation_labels(fold)[kept])


def _some(regions: Regions, chosen: NDArray[np.bool_]) -> Regions:
    """The chosen ones among the readable images: their indices, and their regions."""
    kept, source = regions
    rows = np.flatnonzero(chosen[kept])
    return (kept, source) if len(rows) == len(kept) else (kept[rows], SelectedRegions(source, rows))


def finished_cells(stack: Stack, shared: Shared) -> Iterator[tuple[Cell, NDArray[np.float64]]]:
    """The finished cells of a stack, and (S,) mAP of each on resamples of the test images."""
    labels = [shared.test.labels[outcome.rows.numpy()] for outcome in stack.done]
    scored: dict[str, tuple[Score, NDArray[np.float64]]] = {}
    for index, (observed, seed) in enumerate(stack.conditions):
        probabilities = [outcome.probabilities[index].numpy() for outcome in stack.done]
        presence, absence = torch.stack([outcome.displacement[index] for outcome in stack.done]).mean(dim=0).tolist()
        for group, columns in shared.groups.items():
            if not scored.get(group) or shared.uses_labels(stack.method, stack.conditions[0]):
                of_group = [one[:, columns] for one in probabilities], [one[:, columns] for one in labels]
                scored[group] = score_folds(*of_group, (presence, absence))
            found, resampled = scored[group]
            yield (
                Cell(
                    stack.method,
                    observed,
                    seed,
                    **asdict(found),
                    learned_parameters=int(stack.done[-1].learned[index]),
                    epoch=int(stack.done[-1].epochs[index]),
                    seconds=round(stack.seconds / len(stack.conditions), 3),
                    classes=group,
                ),
                resampled,
            )


def _train(
    stack: Stack,
    runs: Sequence[TrainingRun],
    regions: RegionSource,
    shared: Shared,
    score: Callable[[Sequence[Recognizer]], Sequence[float]] | None,
) -> None:
    """Train all runs of a stack at once; their state is saved in the folder."""
    before, epochs, reporter = stack.epoch, runs[0].recipe.epochs, shared.reporter
    fold = f", fold {len(stack.done) + 1} of {len(shared.folds)}" if len(shared.folds) > 1 else ""
    if before:
        reporter.note(f"{stack.method}{fold}: going on after epoch {before}")
    if isinstance(regions.source if isinstance(regions, SelectedRegions) else regions, FreshRegions):
        count = (epochs - before) * len(regions)
        views = counted(epochs - before, "epoch")
        reporter.note(f"{stack.method}: {count:,} images go through the tower, {views} of new views")
    with reporter.progress(f"{stack.method}, {counted(len(runs), 'run')} at once{fold}, steps") as say:
        due = Due()

        def on_epoch(done: Sequence[EpochReport]) -> None:
            stack.seconds += done[0].seconds
            if due.after(done[0].epoch, done[0].epochs):
                stack.save(shared.folder.path)

        def on_step(done: int, planned: int) -> None:
            say((stack.epoch - before) * planned + done, (epochs - before) * planned)

        fit_runs(runs, regions, order_seed=shared.grid.order_seed, score=score, on_epoch=on_epoch, on_step=on_step)
