"""From the options of `promptmlr compare` to its outputs: data split, methods chosen, cells run."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from promptmlr.backbone import PAPER_TOWER, Backbone
from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.features import JobSettings
from promptmlr.labels import Observation
from promptmlr.methods import METHODS, create_recognizer, methods_on
from promptmlr.opening import job_settings, open_data, open_tower, usable_methods
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions, RecipeOptions
from promptmlr.paper.design.outputs import DesignOutputs
from promptmlr.paper.design.running import Design, run_design
from promptmlr.paper.design.search import SearchRule
from promptmlr.paper.grid.benchmarks import benchmark_of
from promptmlr.paper.grid.compare import compare
from promptmlr.paper.grid.folds import VALIDATION, draw_folds
from promptmlr.paper.grid.observed import in_words, observed_as
from promptmlr.paper.grid.outputs import GridOutputs
from promptmlr.paper.grid.peers import peer_findings
from promptmlr.paper.grid.plan import Grid, reference_of, with_zero_shot
from promptmlr.paper.grid.published import published_scores
from promptmlr.paper.grid.remarks import remarks_on
from promptmlr.paper.grid.unseen import COCO_48_17, choose_classes, unseen_findings
from promptmlr.recipes import load_recipe
from promptmlr.reporting import Reporter

__all__ = ["Comparison", "compare_methods", "compare_sides"]


@dataclass(frozen=True)
class Comparison:
    """The options of a comparison.

    Attributes:
        data: a data set, as `load_data` takes it.
        hidings: the protocols that hide labels from training; each gives a column of the grid.
        seeds: number of seeds; each draws its own mask and starts.
        methods: names of `METHODS`; None means all that the backbone supports.
        reference: the method that the others are compared with; None is the first.
        folds: number of folds of the training images for cross-validation; None scores on the test split.
        unseen: the classes of which training sees no label (`choose_classes`).
        select: which epoch is scored, as in `Grid`.
        recipe: how methods are trained.
        tower: the frozen CLIP.
        reading: how the data are read.
        regions: where regions are stored.
    """

    data: str
    hidings: Sequence[Observation]
    seeds: int = 3
    methods: Sequence[str] | None = None
    reference: str | None = None
    folds: int | None = None
    unseen: str | None = None
    select: Literal["last", "val"] = "last"
    recipe: RecipeOptions = RecipeOptions()
    tower: NewTowerOptions = NewTowerOptions()
    reading: DataOptions = DataOptions()
    regions: CacheOptions = CacheOptions()

    @cached_property
    def chosen(self) -> list[str]:
        """The methods, zero-shot among them.

        Raises:
            UserError: the reference is not among them, or the recipe does not fit one of them.
        """
        chosen = with_zero_shot(METHODS if self.methods is None else self.methods)
        reference_of(chosen, self.reference)
        for method in chosen:
            load_recipe(self.recipe.recipe, method, batch_size=self.recipe.batch_size, unknown=self.recipe.unknown)
        return chosen

    def settings(self, reporter: Reporter) -> JobSettings:
        """What every job is told."""
        return job_settings(self.regions, self.reading, self.tower, reporter)


@dataclass(frozen=True)
class _Opened:
    """The data and the backbone of all cells.

    Attributes:
        train: images and labels to train on.
        test: images and labels to score on; None scores out of fold.
        hidden: classes of which training sees no label.
        remarks: limits of what the scores mean.
        backbone: the frozen CLIP.
        benchmark: which data set of published tables this is, as in `peers.Peer`.
    """

    train: LabelledImages
    test: LabelledImages | None
    hidden: list[str]
    remarks: list[str]
    backbone: Backbone
    benchmark: str | None

    @property
    def folds(self) -> int:
        """Number of folds; 1 if there is a test split."""
        return len(set(self.train.folds.tolist())) if self.test is None and self.train.folds is not None else 1

    def __str__(self) -> str:
        """The scored images and the backbone, in words."""
        kind, scored = ("images", self.train) if self.test is None else ("test images", self.test)
        return f"{len(scored.images):,} {kind} of {scored.source}, {self.backbone.description}"


def compare_methods(asked: Comparison, out: Path, reporter: Reporter) -> GridOutputs:
    """Run the grid of methods × protocols × seeds; cells that `out` holds are not run again.

    Raises:
        UserError: the options contradict each other, the data or the backbone.
    """
    chosen = asked.chosen
    opened = _opened(asked, reporter)
    if not opened.backbone.has_text_tower:
        chosen = _without_text_tower(asked, opened, reporter)
    changes = asked.recipe.changes()
    seen = [observed_as(hiding) for hiding in asked.hidings]
    recipe = asked.recipe.recipe
    grid = Grid(
        chosen,
        seen,
        asked.seeds,
        asked.recipe.order_seed,
        recipe,
        changes,
        select=asked.select,
        unseen=opened.hidden,
    )
    results = compare(grid, opened.train, opened.test, opened.backbone, out, **asked.settings(reporter))
    test, hidden = opened.test, opened.hidden
    changed = [f"{key.replace('_', ' ')} {value}" for key, value in changes.items() if value]
    changed += ["one context for all classes"] * asked.recipe.shared_context
    settings = [
        f"Recipe {recipe}" + (f", but {', '.join(changed)}." if changed else "."),
        *in_words(grid.observed),
        *([VALIDATION] if asked.select == "val" else []),
        *unseen_findings(hidden, opened.train.class_names, grid.recipes(opened.train.labels)),
    ]
    return GridOutputs(
        results,
        reference_of(chosen, asked.reference),
        {} if test is None or hidden else published_scores(benchmark_of(test)),
        str(opened),
        opened.remarks,
        settings,
        folds=opened.folds,
        peers=peer_findings(opened.benchmark, grid.observed),
    )


def compare_sides(
    asked: Comparison, out: Path, reporter: Reporter, *, jobs: int = 1, most_epochs: int | None = None
) -> DesignOutputs:
    """Cross all kinds of presence and absence side; each pair is trained to its plateau.

    Args:
        asked: the options; its `methods` are not used.
        out: the folder of cells.
        reporter: receives progress and messages.
        jobs: processes that train cells.
        most_epochs: limit of the doubling of epochs.

    Raises:
        UserError: as `compare_methods`; or a protocol other than a fraction hides labels.
    """
    if wrong := [hiding.name for hiding in asked.hidings if hiding.protocol != "fraction"]:
        raise UserError(f"--design is crossed with fractions of the labels; leave out {wrong[0]}")
    recipe = load_recipe(asked.recipe.recipe, "dualcoop", batch_size=asked.recipe.batch_size)
    opened = _opened(asked, reporter)
    if opened.test is None:
        raise UserError(_no_split(asked, opened.train))
    if not opened.backbone.has_text_tower:
        raise UserError("--design crosses prompts with other sides, and features come without a text tower")
    first = asked.recipe.epochs or SearchRule().epochs
    rule = SearchRule(epochs=first, most_epochs=max(most_epochs or SearchRule().most_epochs, first))
    shares = [hiding.amount for hiding in asked.hidings]
    sides = Design(shares, asked.seeds, recipe, rule, asked.recipe.order_seed)
    found, choices = run_design(
        sides, opened.train, opened.test, opened.backbone, out, jobs=jobs, **asked.settings(reporter)
    )
    return DesignOutputs(found, choices, rule, str(opened), opened.remarks)


def _opened(asked: Comparison, reporter: Reporter) -> _Opened:
    """Open data and backbone, choose the unseen classes and draw the folds."""
    train, test = open_data(asked.data, "train", asked.reading, reporter), None
    if asked.folds is not None:
        train = replace(train, folds=draw_folds(len(train.images), asked.folds))
    elif not train.without_splits:
        test = open_data(asked.data, "test", asked.reading, reporter)
    elif train.folds is None:
        raise UserError(_no_split(asked, train))
    hidden: list[str] = []
    benchmark: str | None = None if test is None else benchmark_of(test)
    if asked.unseen is not None:
        benchmark = COCO_48_17 if (benchmark, asked.unseen) == ("coco2014", COCO_48_17) else None
        scored, hidden = choose_classes(asked.unseen, train.class_names)
        test = None if test is None else test.with_classes(train.class_names).of_classes(scored)
        train = train.of_classes(scored)
    remarks = remarks_on(train, train.folds) if test is None else remarks_on(test, None)
    for remark in remarks:
        reporter.note(remark)
    backbone = open_tower(asked.data, asked.tower, reporter, train, usual=PAPER_TOWER)
    return _Opened(train, test, hidden, remarks, backbone, benchmark)


def _no_split(asked: Comparison, train: LabelledImages) -> str:
    splitting = f"promptmlr convert {shlex.quote(asked.data)} split.csv --to csv --hold-out 0.2 makes a split"
    return (
        f"{asked.data} has no test split, and nothing is scored on what it was trained on: --folds 5 scores out of "
        "fold, " + (splitting if train.features is None else "a key or column `split` makes one")
    )


def _without_text_tower(asked: Comparison, opened: _Opened, reporter: Reporter) -> list[str]:
    """The methods that need no text tower; a requested method that needs one is refused."""
    kept = [asked.reference, *(asked.methods or ())]
    usable = usable_methods(opened.backbone, reporter) if asked.methods is None else methods_on(opened.backbone)
    chosen = [name for name in asked.chosen if name in usable or name in kept]
    for method in chosen:  # before the folder is made
        start = load_recipe(asked.recipe.recipe, method, start=asked.recipe.start).start_options()
        create_recognizer(method, opened.backbone, opened.train.class_names, **start)
    return chosen
