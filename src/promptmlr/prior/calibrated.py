"""The zero-shot as a calibrated probability: a recognizer's margins on some of its images, scaled by what labels say.

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
from promptmlr.prior.zero_shot import Moments, assumed_share, fit_scaling, level_shift
from promptmlr.prior_record import COLUMNS, Level, PriorRecord
from promptmlr.recipes import Recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import RegionSource

__all__ = ["calibrated_zero_shot"]


def calibrated_zero_shot(
    recognizer: Recognizer,
    source: RegionSource,
    labels: Labels,
    recipe: Recipe,
    ticked: NDArray[np.bool_],
    *,
    seed: int = 0,
    share: float | Sequence[float] | None = None,
) -> tuple[PriorRecord, Moments]:
    """Scale and shift of an untrained recognizer's margins, which it then keeps (an infinite prior), and their moments.

    Args:
        recognizer: untrained and unscaled; it stays as it is.
        source: regions of N images.
        labels: (N, C) int8; none needs to be known.
        recipe: settled: it says what unknown labels cost.
        ticked: (C,) the classes in which they do.
        seed: of the images that are looked at where there are many.
        share: how often classes are present, one number for all or one each, where a person knows it.
    """
    images, margins = sampled_margins(recognizer, source, labels, seed, ticks=bool(ticked.any()))
    moments = Moments.of(margins)
    scaling, common = fit_scaling(margins, labels[images], moments, recipe.unknown, ticked)
    level: Level = "labels" if not ticked.any() else "loss"
    wanted: float | NDArray[np.float64] | None = None if share is None else np.asarray(share, dtype=np.float64)
    if wanted is None and not (labels != UNKNOWN).any():
        wanted, level = assumed_share(labels.shape[1]), "assumed"
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
        ticked=tuple(ticked.tolist()),
        level=level,
    )
    return record, moments
