"""By which score the epoch is chosen that a run keeps."""

from collections.abc import Callable

from promptmlr.errors import UserError
from promptmlr.evaluation import evaluate
from promptmlr.labels import Labels
from promptmlr.pipeline.images import JobRegions
from promptmlr.pipeline.job import TrainingJob
from promptmlr.prediction import predict_source
from promptmlr.recognizer import Recognizer
from promptmlr.regions import RegionSource
from promptmlr.reporting import Reporter

__all__ = ["Score", "score_on", "selection_score"]

Score = Callable[[Recognizer], float]


def selection_score(job: TrainingJob, regions: JobRegions, held_out: Labels | None, reporter: Reporter) -> Score | None:
    """MAP on test images, or on held-out labels of the training images as they are; None keeps the last epoch.

    Raises:
        UserError: test data are missing, or have other classes.
    """
    if job.select == "test":
        if job.selection_data is None:
            raise UserError("selection on test data needs test data")
        reporter.note(
            "warning: the epoch is selected on test data; compare its score only with papers that do the same"
        )
        test = job.selection_data.with_classes(job.labelled.class_names)
        kept, source = regions.of(test.images)
        return score_on(source, test.labels[kept])
    if job.select == "val" and held_out is not None:
        kept, source = regions.as_they_are
        return score_on(source, held_out[kept])
    return None


def score_on(source: RegionSource, labels: Labels) -> Score:
    """A score for `fit`: mAP on the known ones of (N, C) labels."""

    def score(recognizer: Recognizer) -> float:
        kept, probabilities = predict_source(recognizer, source)
        return evaluate(probabilities, labels[kept], recognizer.class_names, resamples=0).mean_ap

    return score
