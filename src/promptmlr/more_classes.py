"""Classes that a trained run is given by name: no label says what they are, so CLIP's text does, on the run's own line.

Letters: N images, C classes of the run, K new ones.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.backbone import ensemble_features
from promptmlr.calibration import Calibration
from promptmlr.data.images import ImageFile, find_images, spread
from promptmlr.errors import UserError
from promptmlr.names import checked_class_names
from promptmlr.prediction import predict_margins
from promptmlr.prior.zero_shot import CommonScaling, Moments
from promptmlr.prior_record import COLUMNS, PriorRecord
from promptmlr.recognizer import Recognizer
from promptmlr.regions import FreshRegions, automatic_batch_size
from promptmlr.run import Run
from promptmlr.sides import EmbeddingSide, Side
from promptmlr.thresholds import expected_f1_thresholds

__all__ = ["with_classes"]

MOST_IMAGES = 1_000  # that are looked at, to see how CLIP words each new class
MEAN_COUNTS = 1.0  # images that the mean margin of the run's classes counts as, beside those of a new class;
SPREAD_COUNTS = 10.0  # and that their spread counts as


def with_classes(
    run: Run, class_names: Sequence[str], images: str | Path | Iterable[str | Path], *, workers: int = 2
) -> Run:
    """The run with more classes; those that it was trained on stay as they are.

    A new class is its text features, by the run's templates, against the background that the run's zero-shot compares
    classes with. What its margin means follows from the line that all classes of the run have in common, and from what
    its margins look like.

    Args:
        run: its sides compare vectors. Its backbone is loaded if it is not yet.
        class_names: K names.
        images: files, folders and globs of what is to be predicted; at most `MOST_IMAGES` are looked at, and unreadable
            ones are left out.
        workers: threads that decode images.

    Returns:
        A run of C + K classes, in memory alone: `path` is that of the other.

    Raises:
        UserError: a name that cannot be used or that the run has, linear sides, a run without a zero-shot, or no image
            that can be read.
    """
    names = checked_class_names(class_names)
    prior, background = _prior(run, names)
    features = ensemble_features(run.backbone, names, run.config.recipe.templates)
    presence = EmbeddingSide.from_features(features).embedding
    absence = background[:1].expand_as(presence)
    own = run.recognizer
    added = Recognizer(EmbeddingSide(presence), EmbeddingSide(absence), names, own.weighting, pooling=own.pooling)
    margins = _margins(run, added, images, workers)
    record = _record(prior, margins)
    config = run.config.model_copy(update={"class_names": (*run.class_names, *names)})

    def joined(recognizer: Recognizer) -> Recognizer:
        sides = _below(recognizer.presence, presence), _below(recognizer.absence, absence)
        more = Recognizer(*sides, config.class_names, recognizer.weighting, pooling=recognizer.pooling)
        return more.requires_grad_(False)

    assert run.zero_shot is not None
    zero_shot = joined(run.zero_shot)
    whole = prior.model_copy(
        update={name: getattr(prior, name) + getattr(record, name) for name in (*COLUMNS, "costly")}
    )
    zero_shot.scaling = whole.scaling()
    more = Run(run.path, config, joined(run.recognizer), _calibration(run, record, margins), whole, zero_shot)
    more.adopt(run.backbone)
    return more


def _prior(run: Run, names: Sequence[str]) -> tuple[PriorRecord, Tensor]:
    """The zero-shot of a run that can be given more classes, and its (C, D) background.

    Raises:
        UserError: it cannot.
    """
    if not isinstance(run.recognizer.presence, EmbeddingSide) or not isinstance(run.recognizer.absence, EmbeddingSide):
        raise UserError(
            f"run {run.path} has linear sides ({run.config.method}), which no name says anything to; to add classes by "
            "name, train another method"
        )
    if run.prior is None or run.zero_shot is None:
        raise UserError(
            f"run {run.path} has no prior.json, the zero-shot that new classes stand beside; train it again, without "
            "--no-calibrate and without augmentation"
        )
    for name in names:
        if name in run.class_names:
            raise UserError(f"run {run.path} has the class {name!r} already; leave it out")
    assert isinstance(run.zero_shot.absence, EmbeddingSide)
    return run.prior, run.zero_shot.absence.embedding


def _margins(
    run: Run, recognizer: Recognizer, images: str | Path | Iterable[str | Path], workers: int
) -> NDArray[np.float64]:
    """(N, K) of at most `MOST_IMAGES` images."""
    found = find_images([images] if isinstance(images, str | Path) else list(images))
    chosen = [ImageFile(path) for path in dict.fromkeys(spread(found, MOST_IMAGES))]
    source = FreshRegions(run.backbone, chosen, workers=workers, skip_unreadable=True)
    recognizer = recognizer.to(run.backbone.device)
    return predict_margins(recognizer, source, automatic_batch_size(run.backbone))[1]


def _record(prior: PriorRecord, margins: NDArray[np.float64]) -> PriorRecord:
    """The same for the new classes alone.

    Few images say little of a class's mean and spread, so both are drawn to those of the run's classes.
    """
    common, images, found = CommonScaling(**prior.common), len(margins), Moments.of(margins)
    mean = (images * found.mean + MEAN_COUNTS * common.mean) / (images + MEAN_COUNTS)
    own, usual = (2 * found.log_spread).exp(), math.exp(2 * common.log_spread)
    variance = (images * own + SPREAD_COUNTS * usual) / (images + SPREAD_COUNTS)
    log_scale, shift = common.lines(Moments(mean, variance.log() / 2))
    columns = {
        "log_scale": log_scale,
        "shift": shift,
        "centre": mean,
        "prior_log_scale": log_scale,
        "prior_shift": shift,
    }
    return prior.model_copy(
        update={name: tuple(column.tolist()) for name, column in columns.items()} | {"costly": (False,) * len(mean)}
    )


def _calibration(run: Run, record: PriorRecord, margins: NDArray[np.float64]) -> Calibration:
    """That of the run, and lines and thresholds of the new classes behind it."""
    scaling = record.scaling()
    with torch.no_grad():
        probabilities = torch.sigmoid(scaling(torch.from_numpy(margins))).numpy()
    scale, shift = scaling.line()
    everywhere = np.ones(margins.shape, dtype=np.bool_)
    thresholds = expected_f1_thresholds(probabilities, everywhere, float(run.thresholds.mean()))
    nothing = (0,) * len(shift)
    before = run.calibration or Calibration.identity(run.thresholds)
    added = {
        "scale": scale.tolist(),
        "shift": shift.tolist(),
        "thresholds": thresholds.tolist(),
        "present": nothing,
        "absent": nothing,
    }
    return before.model_copy(update={name: (*getattr(before, name), *column) for name, column in added.items()})


def _below(side: Side, vectors: Tensor) -> EmbeddingSide:
    """A side with more vectors below its own."""
    assert isinstance(side, EmbeddingSide)
    return EmbeddingSide(torch.cat([side.embedding, vectors.to(side.embedding)]))
