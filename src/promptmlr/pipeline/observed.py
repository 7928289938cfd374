"""Which labels a job sees, which of them it learns from, and which are held out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels, hide, hold_out
from promptmlr.methods import METHOD_TABLE
from promptmlr.names import first_names
from promptmlr.pipeline.job import TrainingJob
from promptmlr.prior.positive_only import positive_only_note, resolve_unknown
from promptmlr.prior.sample import MARGINS_SAMPLE, sample_images
from promptmlr.recipes import Recipe
from promptmlr.regions import Indices
from promptmlr.reporting import Reporter

__all__ = ["ObservedLabels", "check_labels", "needed_images", "observed_labels"]

HELD_OUT = 0.1  # of the observed labels, for calibration and for selection on "val"
MANY = 10_000  # observed labels, from which a tenth is enough to calibrate on and can be spared


@dataclass(frozen=True, eq=False)
class ObservedLabels:
    """What is known of N images and C classes, and who sees it.

    Attributes:
        labels: (N, C) int8, all that the job's mask leaves.
        to_fit: (N, C) int8, what training sees of them.
        held_out: (N, C) int8, the others; None where none are, and all where nothing is trained.
        recipe: of the job, and it says what unknown labels cost.
        costly: (C,) bool, the classes in which they do.
    """

    labels: Labels
    to_fit: Labels
    held_out: Labels | None
    recipe: Recipe
    costly: NDArray[np.bool_]


def observed_labels(job: TrainingJob, reporter: Reporter) -> ObservedLabels:
    """Hide what the job may not see, part the rest, and say what training will see.

    Raises:
        UserError: there is nothing to learn from, or nothing to choose an epoch by.
    """
    names = job.labelled.class_names
    labels = hide(job.labelled.labels, job.keep)
    check_labels(labels, names, job.method, job.recipe, reporter)
    recipe, costly = resolve_unknown(job.recipe, labels)
    told = positive_only_note(recipe, labels, names, job.share is not None)
    if told is not None and job.trained:
        reporter.note(told)
    return ObservedLabels(labels, *_parted(job, labels, reporter), recipe, costly)


def needed_images(observed: ObservedLabels, seed: int) -> Indices:
    """The images that a job cannot do without: those with a known label, and as many others as scale its zero-shot."""
    labels = observed.labels
    if observed.costly.any() and observed.recipe.unknown != "ignore":
        return np.arange(len(labels))
    known = np.flatnonzero((labels != UNKNOWN).any(axis=1))
    return np.union1d(known, sample_images(labels, MARGINS_SAMPLE, seed))


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


def _parted(job: TrainingJob, labels: Labels, reporter: Reporter) -> tuple[Labels, Labels | None]:
    """What training sees of (N, C) labels, and what is held out of it, where something has to be.

    An epoch is chosen on labels held out. To calibrate, the rest of the labels serves as well, each out of fold, but
    where a tenth is plenty, or images are augmented and every training costs the tower. Where nothing is trained, all
    of them are as good as held out.
    """
    observed = int((labels != UNKNOWN).sum())
    if not job.trained:
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
