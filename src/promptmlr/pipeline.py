"""From labelled images to a run folder: the main job, in one function."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from promptmlr.augmentation import Augmentation
from promptmlr.backbone import Backbone
from promptmlr.calibration import Calibration, fit_calibration
from promptmlr.crossvalidation import Subject, fold_runs, gathered
from promptmlr.data import LabelledImages
from promptmlr.data.images import ImageRef
from promptmlr.errors import UserError
from promptmlr.evaluation import evaluate
from promptmlr.features import RegionCache, StoredRegions, open_regions
from promptmlr.following import Follower, Followers
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Keep, Labels, hide, hold_out, label_folds, mask_hash
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.names import first_names
from promptmlr.prediction import predict_margins, predict_source
from promptmlr.prior.fitting import begin_run
from promptmlr.prior.outcome import Reference, calibrated_by_prior, described_prior
from promptmlr.prior.recalibration import recalibrate
from promptmlr.prior.ticks import described_ticks, settled, ticked_classes
from promptmlr.profiling import part
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import FreshRegions, Indices, RegionSource
from promptmlr.reporting import Reporter
from promptmlr.run import BackboneRecord, DataRecord, RunConfig, Selection, versions
from promptmlr.training import EpochReport, TrainingRun, TrainingState, fit_runs
from promptmlr.unfinished import Due, RunInProgress

__all__ = [
    "TrainingJob",
    "images_sha256",
    "labels_sha256",
    "readable_regions",
    "score_on",
    "train_run",
    "training_images",
]

HELD_OUT = 0.1  # of the observed labels, for calibration and for selection on "val"
MANY = 10_000  # observed labels, from which a tenth is enough to calibrate on and can be spared
CALIBRATION_FOLDS = 4
REFERENCE = "anchored"  # the method whose prior is the zero-shot that others stand beside


@dataclass(frozen=True)
class TrainingJob:
    """What to train, on what.

    Attributes:
        method: a name of `METHODS`.
        recipe: how it is built and trained.
        labelled: N images with their labels.
        keep: (N, C) bool, which labels training may see.
        observed: the fraction `keep` was drawn with.
        seed: of mask and starts.
        order_seed: of the order of images.
        select: which epoch is kept.
        calibrate: fit probabilities and thresholds on observed labels out of fold, or where they are many on a tenth of
            them, held out. A run with a prior is calibrated in any case: it is trained to give probabilities.
        selection_data: labelled test images, needed for `select="test"` alone.
        learned: tensors of an earlier training of the same method and classes, to begin with; None begins anew.
        share: how often classes are present, for all or of each, where a person knows it; None leaves that to the
            labels.
        protocol: the name of the `labels.Observation` that drew `keep`, where that was no fraction.
    """

    method: str
    recipe: Recipe
    labelled: LabelledImages
    keep: Keep
    observed: float = 1.0
    seed: int = 0
    order_seed: int = 0
    select: Selection = "last"
    calibrate: bool = True
    selection_data: LabelledImages | None = None
    learned: Mapping[str, Tensor] | None = None
    share: float | tuple[float, ...] | None = None
    protocol: str | None = None


def train_run(
    job: TrainingJob,
    backbone: Backbone,
    out: str | Path,
    *,
    cache: RegionCache | None = None,
    resume: bool = False,
    skip_unreadable: bool = False,
    workers: int = 2,
    reporter: Reporter | None = None,
    followers: Sequence[Follower] = (),
) -> Path:
    """Train a recognizer and write its run folder, whole or as OUT.partial.

    Args:
        job: what to train.
        backbone: the frozen CLIP.
        out: the run folder; it must not exist.
        cache: where regions are stored; None holds them in memory or makes them fresh.
        resume: go on with OUT.partial, to the same weights as if it had not been interrupted.
        skip_unreadable: leave unreadable images out instead of refusing them.
        workers: threads that decode images.
        reporter: where to say how it goes.
        followers: who else hears of every epoch (`promptmlr.following`).

    Returns:
        The run folder.

    Raises:
        UserError: nothing to learn from, an existing folder, an unreadable image, settings that changed on resume.
    """
    reporter = reporter or Reporter()
    RunInProgress.check_free(out, resume)
    labels = hide(job.labelled.labels, job.keep)
    check_labels(labels, job.labelled.class_names, job.method, job.recipe, reporter)
    recipe, ticked = settled(job.recipe, labels)
    told_ticks = described_ticks(recipe, labels, job.labelled.class_names, job.share is not None)
    if told_ticks is not None and METHOD_TABLE[job.method].trained:
        reporter.note(told_ticks)
    recognizer = build(job, backbone)
    progress = RunInProgress(out, _config(job, labels, recognizer, backbone, cache), job.keep)
    begin = time.perf_counter()
    with progress.held(resume) as saved, Followers(followers) as told:
        record, odds = progress.prior(len(labels)) if resume else (None, None)
        state = TrainingState(**saved)
        told.on_start(progress.partial, progress.config, [EpochReport(**line) for line in progress.epochs()])
        trained = METHOD_TABLE[job.method].trained
        labels, held = _parted(job, labels, reporter)
        images = training_images(
            job.labelled, recipe, backbone, job.order_seed, skip_unreadable=skip_unreadable, workers=workers
        )
        kept, source = readable_regions(images, cache, reporter)
        progress.settle_storage(source.store.format.storage if isinstance(source, StoredRegions) else None)
        seen = labels[kept]
        if trained and not recipe.has_prior and not (seen != UNKNOWN).any():
            raise UserError("all images with a known label are unreadable, so there is nothing to learn from")
        as_is = (kept, source) if images.augmentation is None else None
        begun = begin_run(
            recognizer,
            source,
            seen,
            recipe,
            seed=job.seed,
            order_seed=job.order_seed,
            state=state,
            record=record,
            share=job.share,
            ticked=ticked,
            reporter=reporter,
        )
        begun = begun if odds is None else replace(begun, odds=odds)
        reference = Reference.of_run(begun) if begun.record else _reference(job, backbone, as_is, seen)
        if reference is not None:
            progress.keep_prior(reference.record, begun.odds)
        if trained:
            score = _selection(job, images, as_is, held, cache, reporter)
            _fit(job, begun.run, source, score, progress, reporter, told)
            begun = recalibrate(begun)
        if begun.record is not None:
            for line in described_prior(begun, source, job.labelled.class_names):
                reporter.note(line)
            calibration: Calibration | None = calibrated_by_prior(begun, source, job.share, job.seed)
        else:
            around = None if reference is None else reference.record.line
            calibration = _calibration(job, begun.run, backbone, images, as_is, held, seen, around, cache, reporter)
        metrics = {
            "learned_parameters": recognizer.learned_parameters() if trained else 0,
            "epoch": state.best_epoch if job.select != "last" else state.epoch,
            "select": job.select,
            "selection_map": state.best_score if state.best_epoch else None,
            "seconds": round(time.perf_counter() - begin, 3),
        }
        told.on_end(metrics)
        zero_shot = None if reference is None else reference.recognizer
        return progress.finish(recognizer, metrics, calibration, zero_shot)


def _reference(
    job: TrainingJob, backbone: Backbone, as_is: tuple[Indices, RegionSource] | None, labels: Labels
) -> Reference | None:
    """The calibrated zero-shot beside a run without a prior; None where there are no texts, or nothing to see it on."""
    if as_is is None or not job.calibrate or not METHOD_TABLE[job.method].trained:
        return None
    own = job.recipe
    recipe = load_recipe("default", REFERENCE, prior_strength="infinite", templates=own.templates, texts=own.texts)
    try:
        recognizer = create_recognizer(REFERENCE, backbone, job.labelled.class_names, **recipe.start_options())
    except UserError:  # features that came without texts
        return None
    return Reference.of_run(begin_run(recognizer, as_is[1], labels, recipe, seed=job.seed, share=job.share))


def _fit(
    job: TrainingJob,
    run: TrainingRun,
    source: RegionSource,
    score: Callable[[Recognizer], float] | None,
    progress: RunInProgress,
    reporter: Reporter,
    told: Follower,
) -> None:
    """Train, and keep what is trained in the unfinished run folder."""
    due = Due()
    before = run.state.epoch  # of an interrupted run: what is left takes as long as what is done since
    with reporter.progress(f"epochs after {before}" if before else "epochs") as say:

        def on_epoch(reports: Sequence[EpochReport]) -> None:
            report, state = reports[0], run.state
            progress.add(asdict(report))
            if due.after(report.epoch, report.epochs):
                groups = {"learned": state.learned, "optimizer": state.optimizer, "best": state.best}
                counters = {"epoch": state.epoch, "best_epoch": state.best_epoch, "best_score": state.best_score}
                with part("saving the epoch"):
                    progress.save(groups, counters)
            told.on_epoch(report)
            say(report.epoch - before, report.epochs - before)

        scores = None if score is None else lambda folded: [score(folded[0])]
        fit_runs([run], source, order_seed=job.order_seed, score=scores, on_epoch=on_epoch)


def build(job: TrainingJob, backbone: Backbone) -> Recognizer:
    """The recognizer of a job, where its recipe starts it."""
    names = job.labelled.class_names
    recognizer = create_recognizer(job.method, backbone, names, seed=job.seed, **job.recipe.start_options())
    if job.learned is not None:
        try:
            sides = {name: part for name, part in job.learned.items() if not name.startswith("scaling.")}
            recognizer.load_state_dict(sides)
        except RuntimeError as error:
            raise UserError("what was learned before has another shape; keep the recipe, or train anew") from error
    return recognizer


def score_on(source: RegionSource, labels: Labels) -> Callable[[Recognizer], float]:
    """A score for `fit`: mAP on the known ones of (N, C) labels."""

    def score(recognizer: Recognizer) -> float:
        kept, probabilities = predict_source(recognizer, source)
        return evaluate(probabilities, labels[kept], recognizer.class_names, resamples=0).mean_ap

    return score


def check_labels(labels: Labels, class_names: Sequence[str], method: str, recipe: Recipe, reporter: Reporter) -> None:
    """Say what training will see; refuse a method that learns from labels alone where that is nothing."""
    known = labels != UNKNOWN
    if not known.any():
        if METHOD_TABLE[method].trained and not recipe.has_prior:
            raise UserError(
                f"every label is unknown, so {method} without a prior has nothing to learn from; fill in or observe "
                "some more, or leave --method and --recipe out: anchored then is CLIP's zero-shot"
            )
        reporter.note("no label is known: the run is CLIP's zero-shot as it is, and its thresholds are unchecked")
        return
    share = 100 * known.mean()
    reporter.note(
        f"training sees {int((labels == PRESENT).sum()):,} present and {int((labels == ABSENT).sum()):,} absent "
        f"labels, {share:.1f} % of all"
    )
    for value, word in ((PRESENT, "present"), (ABSENT, "absent")):
        never = [name for name, seen in zip(class_names, (labels == value).any(axis=0), strict=True) if not seen]
        if never and (value == PRESENT or len(never) < len(class_names)):
            reporter.note(
                f"warning: never observed {word}, so nothing tells it for these classes but CLIP: {first_names(never)}"
            )


def images_sha256(image_ids: Sequence[str]) -> str:
    """Tells whether two data sets hold the same images, by their ids."""
    return hashlib.sha256("\n".join(sorted(image_ids)).encode()).hexdigest()


def labels_sha256(labels: Labels) -> str:
    """Tells whether two data sets hold the same labels, in the order of their images and classes."""
    return hashlib.sha256(labels.tobytes()).hexdigest()


def _parted(job: TrainingJob, labels: Labels, reporter: Reporter) -> tuple[Labels, Labels | None]:
    """What training sees of (N, C) labels, and what is held out of it, where something has to be.

    An epoch is chosen on labels held out. To calibrate, the rest of the labels serves as well, each out of fold, but
    where a tenth is plenty, or images are augmented and every training costs the tower. Where nothing is trained, all
    of them are as good as held out.
    """
    observed = int((labels != UNKNOWN).sum())
    if not METHOD_TABLE[job.method].trained:
        return labels, labels
    to_choose = job.select == "val"
    dear = observed >= MANY or job.recipe.augmentation != "none"
    to_calibrate = job.calibrate and not job.recipe.has_prior and (to_choose or dear)
    if not to_choose and not (to_calibrate and observed > 1):
        return labels, None
    rest, held = hold_out(labels, HELD_OUT, job.seed)
    if to_choose and not (held == PRESENT).any():
        raise UserError(
            f"--select val: among the {int((held != UNKNOWN).sum())} labels held out none is present, so no epoch can "
            "be chosen by them; label more images, or leave --select out"
        )
    reporter.note(
        f"of these labels {int((held != UNKNOWN).sum()):,} are held out to "
        + " and to ".join(["choose the epoch"] * to_choose + ["calibrate"] * to_calibrate)
    )
    return rest, held


def _calibration(
    job: TrainingJob,
    run: TrainingRun,
    backbone: Backbone,
    images: FreshRegions,
    as_is: tuple[Indices, RegionSource] | None,
    held: Labels | None,
    seen: Labels,
    around: tuple[float, float] | None,
    cache: RegionCache | None,
    reporter: Reporter,
) -> Calibration | None:
    """Of a run without a prior: on labels held out, or on all known ones out of fold; None where nobody asks."""
    if not job.calibrate:
        return None
    kept, source = as_is or readable_regions(_as_they_are(images, images.images), cache, reporter)
    found, margins = predict_margins(run.recognizer.fold(), source)
    labels, basis = (seen, "out of fold") if held is None else (held[kept], "held out")
    # What is ticked alone would become certain on a line of its own: it gets the common one.
    labels = np.where(ticked_classes(seen), np.int8(UNKNOWN), labels[found])
    unseen = np.ones_like(labels, dtype=np.bool_) if held is None else (seen[found] == UNKNOWN) | (labels != UNKNOWN)
    if not (labels == PRESENT).any() or not (labels == ABSENT).any():
        reporter.note("not calibrated: no class has known labels of both kinds")
        return None
    if held is None:
        fold = label_folds(seen, job.seed, min(CALIBRATION_FOLDS, int((seen == PRESENT).sum()) + 1))
        reporter.note(
            f"to calibrate, {int(fold.max()) + 1} more trainings side by side, each without a part of the labels"
        )
        subject = Subject(backbone, job.labelled.class_names, source, seen, job.seed, job.order_seed)
        runs = fold_runs(subject, job.method, job.recipe, fold)
        with reporter.progress("epochs of all of them") as say:
            fit_runs(
                runs,
                source,
                order_seed=job.order_seed,
                on_epoch=lambda reports: say(reports[0].epoch, reports[0].epochs),
            )
        margins = np.where(seen[found] == UNKNOWN, margins, gathered(runs, source, fold)[found])
    calibration = fit_calibration(margins, labels, unseen, around=around, basis=basis)  # type: ignore[arg-type]
    before, after = calibration.log_loss_before, calibration.log_loss_after
    reporter.note(
        f"calibrated: mean log loss of labels {basis} {before:.3f}"
        + ("" if after is None else f" as trained, {after:.3f} calibrated (cross-validated)")
    )
    return calibration


def _config(
    job: TrainingJob, labels: Labels, recognizer: Recognizer, backbone: Backbone, cache: RegionCache | None
) -> RunConfig:
    data = DataRecord(
        source=job.labelled.source,
        images=len(labels),
        images_sha256=images_sha256(job.labelled.image_ids),
        labels_sha256=labels_sha256(labels),
        observed=job.observed,
        protocol=job.protocol,
        mask_sha256=mask_hash(job.keep),
        known_labels=int((labels != UNKNOWN).sum()),
        features_sha256=None if job.labelled.features is None else job.labelled.features.sha256,
        reading=dict(job.labelled.reading),
    )
    return RunConfig(
        method=job.method,
        class_names=recognizer.class_names,
        weighting=recognizer.weighting,
        recipe=job.recipe,
        backbone=BackboneRecord(**backbone.identity()),
        data=data,
        seed=job.seed,
        order_seed=job.order_seed,
        storage=None if cache is None or job.labelled.features is not None else cache.storage,
        select=job.select,
        calibrate=job.calibrate,
        share=job.share,
        versions=versions(),
    )


def training_images(
    labelled: LabelledImages,
    recipe: Recipe,
    backbone: Backbone,
    order_seed: int,
    *,
    skip_unreadable: bool = False,
    workers: int = 2,
) -> FreshRegions:
    """The images as the recipe shows them, fresh from pixels."""
    augmentation = None
    if recipe.augmentation != "none":
        augmentation = Augmentation(order_seed, None if recipe.views == "exact" else recipe.views)
    images = labelled.images
    return FreshRegions(backbone, images, augmentation=augmentation, workers=workers, skip_unreadable=skip_unreadable)


def readable_regions(
    images: FreshRegions, cache: RegionCache | None, reporter: Reporter
) -> tuple[Indices, RegionSource]:
    """Regions from wherever they are cheapest; what cannot be read is said."""
    with part("finding or decoding images"):
        kept, source = open_regions(images, cache, reporter=reporter)
    for reason in images.unreadable.values():
        reporter.note(f"unreadable, left out: {reason}")
    return kept, source


def _selection(
    job: TrainingJob,
    images: FreshRegions,
    as_is: tuple[Indices, RegionSource] | None,
    held: Labels | None,
    cache: RegionCache | None,
    reporter: Reporter,
) -> Callable[[Recognizer], float] | None:
    """A score on test images, or on held-out labels of the training images `as_is`, without augmentation."""
    if job.select == "test":
        if job.selection_data is None:
            raise UserError("selection on test data needs test data")
        reporter.note(
            "warning: the epoch is selected on test data; compare its score only with papers that do the same"
        )
        test = job.selection_data.with_classes(job.labelled.class_names)
        kept, source = readable_regions(_as_they_are(images, test.images), cache, reporter)
        return score_on(source, test.labels[kept])
    if held is None or job.select != "val":
        return None
    kept, source = as_is or readable_regions(_as_they_are(images, images.images), cache, reporter)
    return score_on(source, held[kept])


def _as_they_are(images: FreshRegions, shown: Sequence[ImageRef]) -> FreshRegions:
    """Other images through the same tower, without augmentation."""
    return FreshRegions(images.backbone, shown, workers=images.workers, skip_unreadable=images.skip_unreadable)
