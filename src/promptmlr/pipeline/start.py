"""Where a run starts: at its prior, or where its recipe says, beside the zero-shot that it will be compared with."""

from promptmlr.backbone import Backbone
from promptmlr.errors import UserError
from promptmlr.labels import UNKNOWN
from promptmlr.pipeline.images import JobRegions
from promptmlr.pipeline.job import TrainingJob
from promptmlr.pipeline.observed import ObservedLabels
from promptmlr.prior.fitting import BegunRun, begin_run
from promptmlr.prior.reference import Reference, reference_zero_shot
from promptmlr.recognizer import Recognizer
from promptmlr.reporting import Reporter
from promptmlr.run.unfinished import Saved

__all__ = ["start_run"]


def start_run(
    job: TrainingJob,
    recognizer: Recognizer,
    backbone: Backbone,
    observed: ObservedLabels,
    regions: JobRegions,
    saved: Saved,
    reporter: Reporter,
) -> tuple[BegunRun, Reference | None]:
    """A run that is ready to be trained, and its zero-shot, where it has one.

    Args:
        job: what to train.
        recognizer: as `build` gives it; under a prior it is scaled in place.
        backbone: the frozen CLIP.
        observed: labels of all images.
        regions: of those that can be read.
        saved: what an interrupted run left.
        reporter: where to say how it goes.

    Raises:
        UserError: no image with a known label can be read, and there is no prior.
    """
    labels = observed.to_fit[regions.kept]
    if job.trained and not job.recipe.has_prior and not (labels != UNKNOWN).any():
        raise UserError("all images with a known label are unreadable, so there is nothing to learn from")
    begun = begin_run(
        recognizer,
        regions.source,
        labels,
        observed.recipe,
        seed=job.seed,
        order_seed=job.order_seed,
        state=saved.state,
        record=saved.prior,
        odds=saved.odds,
        share=job.share,
        costly=observed.costly,
        reporter=reporter,
    )
    if begun.record is not None:
        return begun, Reference.of_run(begun)
    if not job.trained or not job.calibrate or regions.augmented:
        return begun, None
    names = job.labelled.class_names
    return begun, reference_zero_shot(
        job.recipe, backbone, names, regions.source, labels, seed=job.seed, share=job.share
    )
