"""What makes probabilities and labels of a trained run's margins: its prior's own line, or one fitted on labels."""

import numpy as np
from numpy.typing import NDArray

from promptmlr.backbone import Backbone
from promptmlr.calibration import Basis, Calibration, fit_calibration
from promptmlr.crossvalidation import Subject, out_of_fold
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, label_folds
from promptmlr.pipeline.images import JobRegions
from promptmlr.pipeline.job import TrainingJob
from promptmlr.pipeline.observed import ObservedLabels
from promptmlr.prediction import predict_margins
from promptmlr.prior.fitting import BegunRun
from promptmlr.prior.outcome import calibrated_by_prior, describe_prior
from promptmlr.prior.positive_only import positive_only_classes
from promptmlr.prior.reference import Reference
from promptmlr.recognizer import Recognizer
from promptmlr.reporting import Reporter

__all__ = ["calibration_of_run"]

FOLDS = 4


def calibration_of_run(
    job: TrainingJob,
    begun: BegunRun,
    backbone: Backbone,
    observed: ObservedLabels,
    regions: JobRegions,
    reference: Reference | None,
    reporter: Reporter,
) -> Calibration | None:
    """Of a trained run; None where nobody asks, or no class has labels of both kinds.

    Args:
        job: what was trained.
        begun: how it ended.
        backbone: the frozen CLIP.
        observed: its labels.
        regions: of its images.
        reference: the zero-shot beside it: its line is what lines are drawn to where labels are few.
        reporter: where to say how it goes.
    """
    if begun.record is not None:
        for line in describe_prior(begun, regions.source, job.labelled.class_names):
            reporter.note(line)
        return calibrated_by_prior(begun, regions.source, job.share, job.seed)
    if not job.calibrate:
        return None
    around = None if reference is None else reference.record.line
    return _on_labels(job, begun.run.recognizer, backbone, observed, regions, around, reporter)


def _on_labels(
    job: TrainingJob,
    recognizer: Recognizer,
    backbone: Backbone,
    observed: ObservedLabels,
    regions: JobRegions,
    around: tuple[float, float] | None,
    reporter: Reporter,
) -> Calibration | None:
    """On labels held out, or on all known ones out of fold."""
    kept, source = regions.as_they_are
    found, margins = predict_margins(recognizer.fold(), source)
    seen, held_out = observed.to_fit[kept], observed.held_out
    basis: Basis = "out of fold" if held_out is None else "held out"
    # What is ticked alone would become certain on a line of its own: it gets the common one.
    labels = (seen if held_out is None else held_out[kept])[found]
    labels = np.where(positive_only_classes(seen), np.int8(UNKNOWN), labels)
    if not (labels == PRESENT).any() or not (labels == ABSENT).any():
        reporter.note("not calibrated: no class has known labels of both kinds")
        return None
    unseen = np.ones_like(labels, dtype=np.bool_)
    if held_out is None:
        others = _out_of_fold(
            job, Subject(backbone, job.labelled.class_names, source, seen, job.seed, job.order_seed), reporter
        )
        margins = np.where(seen[found] == UNKNOWN, margins, others[found])
    else:
        unseen = (seen[found] == UNKNOWN) | (labels != UNKNOWN)
    calibration = fit_calibration(margins, labels, unseen, around=around, basis=basis)
    before, after = calibration.log_loss_before, calibration.log_loss_after
    reporter.note(
        f"calibrated: mean log loss of labels {basis} {before:.3f}"
        + ("" if after is None else f" as trained, {after:.3f} calibrated (cross-validated)")
    )
    return calibration


def _out_of_fold(job: TrainingJob, subject: Subject, reporter: Reporter) -> NDArray[np.float64]:
    """(N, C) margins of known labels by trainings that did not see them."""
    fold = label_folds(subject.labels, job.seed, min(FOLDS, int((subject.labels == PRESENT).sum()) + 1))
    reporter.note(f"to calibrate, {int(fold.max()) + 1} more trainings side by side, each without a part of the labels")
    with reporter.progress("epochs of all of them") as say:
        return out_of_fold(subject, job.method, job.recipe, say, fold=fold)
