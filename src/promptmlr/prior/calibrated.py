"""The calibrated zero-shot: a recognizer's margins on a sample of images, scaled to log odds.

Letters: N images, C classes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from promptmlr.labels import UNKNOWN, Labels
from promptmlr.prior.sample import sampled_margins
from promptmlr.prior.sigmoid import own_share
from promptmlr.prior.zero_shot import Moments, assumed_share, fit_scaling, level_shift
from promptmlr.prior_record import COLUMNS, Level, PriorRecord
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import RegionSource, SelectedRegions

__all__ = ["calibrated_zero_shot"]


def calibrated_zero_shot(
    recognizer: Recognizer,
    source: RegionSource,
    labels: Labels,
    recipe: Recipe,
    costly: NDArray[np.bool_],
    *,
    seed: int = 0,
    share: float | Sequence[float] | None = None,
) -> tuple[PriorRecord, Moments]:
    """Scale and shift of an untrained recognizer's margins as the record of an infinite prior, and the moments.

    Args:
        recognizer: untrained and unscaled; not changed.
        source: regions of N images.
        labels: (N, C) int8; all may be unknown.
        recipe: as `resolve_unknown` returns it, with a cost of unknown labels.
        costly: (C,) the classes in which unknown labels have that cost.
        seed: of the sample of images if there are many.
        share: known prevalence, one number for all classes or one for each; None if unknown.
    """
    images, margins = sampled_margins(recognizer, source, labels, seed, uniform=bool(costly.any()))
    moments = Moments.of(margins)
    if recognizer.pair_score is not None:
        own = own_share(recognizer, SelectedRegions(source, images))
        moments = replace(moments, scale=recognizer.pair_score[0], share=own)
    scaling, common = fit_scaling(margins, labels[images], moments, recipe.unknown, costly)
    level: Level = "labels" if not costly.any() else "loss"
    wanted: float | NDArray[np.float64] | None = None if share is None else np.asarray(share, dtype=np.float64)
    if wanted is None and not (labels != UNKNOWN).any():
        wanted, level = assumed_share(labels.shape[1]), "assumed"
        if moments.share is not None:
            wanted, level = moments.share, "tower"
    elif wanted is not None:
        level = "share"
    if wanted is not None:
        with torch.no_grad():
            found = scaling(torch.from_numpy(margins).float()).double().numpy()
            added = torch.from_numpy(level_shift(found, wanted)).float()
            scaling.shift.add_(added)
            scaling.prior_shift.add_(added)
        common = replace(common, shift=common.shift + float(added.mean()))
    columns: dict[str, Any] = {name: tuple(getattr(scaling, name).tolist()) for name in COLUMNS}
    record = PriorRecord(
        strength="infinite",
        costs={},
        **columns,
        common=dict(vars(common)),
        unknown=recipe.unknown,
        costly=tuple(costly.tolist()),
        level=level,
    )
    return record, moments
