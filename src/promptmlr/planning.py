"""What stands between options and the pipeline: labels hidden, a recipe, a method chosen where none is named.

`train` is what `promptmlr train` does; `MultiLabelRecognizer` takes the same steps with what it holds already.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, Unpack

from torch import cuda

from promptmlr import choice
from promptmlr.backbone import Backbone
from promptmlr.crossvalidation import Subject
from promptmlr.data import LabelledImages, load_data, load_keep_mask
from promptmlr.data.shares import shares_of
from promptmlr.data.texts import texts_of
from promptmlr.errors import UserError
from promptmlr.features import JobSettings
from promptmlr.following import Follower
from promptmlr.labels import UNKNOWN, Keep, Observation, hide
from promptmlr.methods import METHODS, reads_texts, takes_start
from promptmlr.opening import job_settings, open_data, open_images, open_tower, usable_methods
from promptmlr.options import CacheOptions, DataOptions, MaskOptions, NewTowerOptions, PromptOptions
from promptmlr.pipeline import TrainingJob, train_run
from promptmlr.processes import first, from_first
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.reporting import Reporter
from promptmlr.run import RunInProgress, Selection, partial_of, read_config
from promptmlr.run.folder import CONFIG

__all__ = ["AUTO", "Plan", "Trained", "as_compared", "compared_methods", "train"]

AUTO = "auto"

RecipeOf = Callable[[str], Recipe]


@dataclass(frozen=True)
class Plan:
    """What to train, as a person says it.

    Attributes:
        data: a data set, as `load_data` takes it.
        method: a name of `METHODS`, or "auto": the one that does best in cross-validation on the observed labels.
        select: which epoch is kept.
        calibrate: as `TrainingJob`.
        share: how often classes are present: a number, or a CSV (`shares_of`).
        reading: how the data are read.
        tower: the frozen CLIP.
        recipe: how it is trained.
        seen: which of the known labels it sees.
        regions: where regions are stored.
    """

    data: str
    method: str = "anchored"
    select: Selection = "last"
    calibrate: bool = True
    share: str | None = None
    reading: DataOptions = DataOptions()
    tower: NewTowerOptions = NewTowerOptions()
    recipe: PromptOptions = PromptOptions()
    seen: MaskOptions = MaskOptions()
    regions: CacheOptions = CacheOptions()


@dataclass(frozen=True)
class Trained:
    """A run, and what may come after it.

    Attributes:
        path: its folder.
        following: the words of the `promptmlr` command that comes next.
    """

    path: Path
    following: Sequence[str]


def train(
    plan: Plan,
    out: str | Path,
    *,
    resume: bool = False,
    followers: Sequence[Follower] = (),
    reporter: Reporter | None = None,
) -> Trained:
    """Train one recognizer and write its run folder.

    Args:
        plan: what to train.
        out: the run folder; it must not exist.
        resume: go on with OUT.partial.
        followers: who else hears of every epoch.
        reporter: where to say how it goes.

    Raises:
        UserError: the plan contradicts itself, or as `load_data`, `open_backbone`, `load_recipe` and `train_run`.
    """
    reporter = reporter or Reporter()
    RunInProgress.check_free(out, resume)
    hiding = _hiding(plan.seen)
    method = from_first(lambda: _going_on(out, reporter)) if resume and plan.method == AUTO else plan.method
    _check_recipes(plan, method, hiding)
    labelled = open_data(plan.data, "train", plan.reading, reporter)
    following = _following(plan, out, labelled, reporter)
    seen = _Seen.of(plan.seen, hiding, labelled, reporter)
    recipe_of = _recipes(plan, seen, labelled.class_names)
    tower = open_tower(plan.data, plan.tower, reporter, labelled, out if resume else None)
    settings = job_settings(plan.regions, plan.reading, plan.tower, reporter)
    candidates: list[choice.Candidate] = []
    if method == AUTO:
        seeds = plan.seen.seed, plan.recipe.order_seed
        candidates = compared_methods(labelled, seen.keep, tower, recipe_of, *seeds, **settings)
        method = choice.taken(candidates).method
    job = TrainingJob(
        method=method,
        recipe=recipe_of(method),
        labelled=labelled,
        keep=seen.keep,
        observed=seen.observed,
        protocol=seen.protocol,
        seed=plan.seen.seed,
        order_seed=plan.recipe.order_seed,
        select=plan.select,
        calibrate=plan.calibrate,
        selection_data=load_data(plan.data, "test", replace(plan.reading, split=None))
        if plan.select == "test"
        else None,
        share=None if plan.share is None else shares_of(plan.share, labelled.class_names),
    )
    if tower.device.type == "cpu" and cuda.is_available():
        reporter.note("note: this runs on the CPU; --device cuda uses the GPU")
    path = train_run(job, tower, out, resume=resume, followers=followers, **settings)
    if candidates and first():
        choice.write_candidates(path / "methods.csv", candidates)
    return Trained(path, following)


def compared_methods(
    labelled: LabelledImages,
    keep: Keep,
    tower: Backbone,
    recipe_of: RecipeOf,
    seed: int = 0,
    order_seed: int = 0,
    **settings: Unpack[JobSettings],
) -> list[choice.Candidate]:
    """All methods that the backbone has everything for, in cross-validation on the observed labels, the best first.

    Args:
        labelled: N images and their labels.
        keep: (N, C) bool, which labels training may see.
        tower: the frozen CLIP.
        recipe_of: method → how it is trained.
        seed: of folds and starts.
        order_seed: of the order of images.
        settings: what every job is told.

    Raises:
        UserError: fewer labels are present than there are folds.
    """
    hidden = replace(labelled, labels=hide(labelled.labels, keep))
    kept, source = open_images(hidden, tower, **settings)
    reporter = settings["reporter"]
    subject = Subject(tower, kept.class_names, source, kept.labels, seed, order_seed)
    recipes = {name: recipe_of(name) for name in usable_methods(tower, reporter)}
    candidates = choice.choose_method(subject, recipes, reporter=reporter)
    for line in choice.described(candidates):
        reporter.note(line)
    return candidates


def as_compared(recipe: Recipe, method: str) -> Recipe:
    """The recipe of a method that is compared with others: texts are left out where it reads none."""
    if reads_texts(method, recipe.start):
        return recipe
    return recipe.model_copy(update={"templates": "one", "texts": {}})


@dataclass(frozen=True)
class _Seen:
    """Which labels training sees.

    Attributes:
        keep: (N, C) bool.
        share: how much of all labels it sees, in the mean over seeds, which the recipe may depend on.
        observed: the fraction of the known labels that is kept.
        protocol: the name of what hid the others, where that was no fraction.
    """

    keep: Keep
    share: float
    observed: float
    protocol: str | None = None

    @classmethod
    def of(cls, options: MaskOptions, hiding: Observation, labelled: LabelledImages, reporter: Reporter) -> Self:
        """As the options say."""
        labels = labelled.labels
        if options.mask is not None:
            names = labelled.image_ids, labelled.class_names, labelled.annotation_order
            keep = load_keep_mask(options.mask, *names, options.unknown_code)
            return cls(keep, float((keep & (labels != UNKNOWN)).mean()), float(keep.mean()))
        keep, share = labelled.kept(hiding, options.seed), hiding.share(labels)
        if hiding.protocol == "fraction":
            return cls(keep, share, hiding.amount)
        reporter.note(f"{hiding.name}: {hiding}; validation and test labels stay as they are")
        return cls(keep, share, float(keep[labels != UNKNOWN].mean()), hiding.name)


def _hiding(options: MaskOptions) -> Observation:
    hiding = Observation.of(options)
    if options.mask is not None and hiding != Observation():
        raise UserError(f"{options.given} and --mask both say which labels are hidden; give one of them")
    return hiding


def _going_on(out: str | Path, reporter: Reporter) -> str:
    """The method that an interrupted run had chosen."""
    method = read_config(partial_of(out) / CONFIG).method
    reporter.note(f"going on with {method}, which --method auto had chosen")
    return method


def _check_recipes(plan: Plan, method: str, hiding: Observation) -> None:
    """Refuse what no recipe can mean, before anything is read."""
    observed = hiding.amount if hiding.protocol == "fraction" else None
    for name in METHODS if method == AUTO else [method]:
        recipe = load_recipe(plan.recipe.recipe, name, observed=observed, **plan.recipe.changes())
        if plan.method == AUTO:
            continue
        if plan.recipe.prior_strength is not None and not recipe.has_prior:
            raise UserError(f"--prior-strength is about a prior, and {name} has none in this recipe; leave it out")
        if plan.recipe.start is not None and not takes_start(name):
            raise UserError(f"--start is about embeddings that start anywhere, and {name} has none; leave it out")


def _recipes(plan: Plan, seen: _Seen, class_names: Sequence[str]) -> RecipeOf:
    """Method → its recipe, now that the data are known."""
    texts = None if plan.recipe.texts is None else texts_of(plan.recipe.texts, class_names)

    def recipe_of(method: str) -> Recipe:
        recipe = load_recipe(plan.recipe.recipe, method, observed=seen.share, texts=texts, **plan.recipe.changes())
        return as_compared(recipe, method) if plan.method == AUTO else recipe

    return recipe_of


def _following(plan: Plan, out: str | Path, labelled: LabelledImages, reporter: Reporter) -> list[str]:
    """The command that comes next: a score, or predictions where no image is left to score the run on."""
    if not labelled.without_splits:
        return ["evaluate", str(out), plan.data, *plan.reading.words()]
    splitting = shlex.join(
        ["convert", plan.data, "split.csv", "--to", "csv", "--hold-out", "0.2", *plan.reading.words()]
    )
    keeping = f"first: promptmlr {splitting}" if labelled.features is None else "give each row a `split`"
    reporter.note(f"note: no image is left to score the run on; to keep some, {keeping}")
    return ["predict", str(out), "IMAGES" if labelled.features is None else plan.data]
