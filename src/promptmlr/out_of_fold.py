"""Out-of-fold probabilities of all labels, and the refusal of scikit-learn's `cross_val_predict` for them."""

import sys
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from promptmlr.backbone import Backbone
from promptmlr.crossvalidation import Subject, calibrated, out_of_fold
from promptmlr.errors import UserError
from promptmlr.features import JobSettings, readable_regions
from promptmlr.labels import hide
from promptmlr.pipeline import TrainingJob

__all__ = ["check_not_renumbered", "out_of_fold_probabilities"]

RENUMBERED = ("decision_function", "predict_log_proba", "predict_proba")


def out_of_fold_probabilities(
    job: TrainingJob, backbone: Backbone, **settings: Unpack[JobSettings]
) -> NDArray[np.float64]:
    """P(present) of every cell by recognizers that did not see its label.

    Known labels are dealt out to five folds, and five recognizers are trained side by side, each without one of them.
    A known label gets the probability of the one that did not see it, an unknown one that of their mean margin.

    Args:
        job: what to train; its epochs are the recipe's, whatever `select` says.
        backbone: the frozen CLIP.
        settings: what every job is told.

    Returns:
        (N, C), calibrated on the known labels; NaN for images that cannot be read.

    Raises:
        UserError: fewer labels are present than there are folds, or an image cannot be read.
    """
    labelled = job.labelled
    kept, source = readable_regions(backbone, labelled.images, **settings)
    seen = hide(labelled.labels, job.keep)[kept]
    subject = Subject(backbone, labelled.class_names, source, seen, job.seed, job.order_seed)
    with settings["reporter"].progress("epochs of five folds") as say:
        margins = out_of_fold(subject, job.method, job.recipe, say, everywhere=True)
    found = np.full(labelled.labels.shape, np.nan)
    found[kept] = calibrated(margins, seen)
    return found


def check_not_renumbered() -> None:
    """Refuse to be fitted by scikit-learn's `cross_val_predict` where that asks for probabilities.

    It then numbers the values of each column of y anew, NaN included: {1, NaN} becomes {0, 1}, present becomes absent
    and unknown present. Nothing in y tells so afterwards; the call does.

    Raises:
        UserError: that is who calls.
    """
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        inside = frame.f_code.co_name == "_fit_and_predict" and frame.f_globals["__name__"].startswith("sklearn.")
        if inside and frame.f_locals.get("method") in RENUMBERED:
            raise UserError(
                f"scikit-learn's cross_val_predict(method={frame.f_locals['method']!r}) numbers the values of y anew, "
                "so that 1 and NaN become 0 and 1; use MultiLabelRecognizer.predict_proba_out_of_fold(X, y)"
            )
