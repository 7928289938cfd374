"""How much labels count relative to CLIP's prior.

Letters: C classes.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from promptmlr.functional import LOGIT_SCALE, SIMILARITY_SCALE
from promptmlr.labels import UNKNOWN
from promptmlr.prior.sample import sampled_regions
from promptmlr.regions import RegionSource
from promptmlr.training import TrainingRun

__all__ = ["label_influence"]

INFLUENCE_SAMPLE = 600  # most images that influence is computed on
TINY = 1e-9  # instead of a division by zero


def label_influence(run: TrainingRun, source: RegionSource) -> NDArray[np.float64]:
    """(C,) the information of the labels relative to that of the prior, on a typical image.

    A ratio r means that the variance of a log odd is 1 / (1 + r) of the prior's (Laplace's approximation around the
    trained vectors, for the mean region of an image minus that of all images, which a shift does not explain).

    Args:
        run: trained, with a prior of finite strength.
        source: regions of its images.
    """
    assert run.prior is not None
    images, found = sampled_regions(source, run.labels, INFLUENCE_SAMPLE, seed=0)
    known, regions = run.labels[images] != UNKNOWN, found.regions
    with torch.no_grad():
        logits = run.recognizer.fold()(regions)
        present = torch.sigmoid(logits[:, 1] - logits[:, 0]).cpu().double().numpy()
        pooled = torch.nn.functional.normalize(regions, dim=-1).mean(dim=1).cpu().double().numpy()
    pooled -= pooled.mean(axis=0)
    likeness = pooled @ pooled.T
    # Of what one label says about log odds, in units of the prior's precision: both sides move, 100 per unit of cosine.
    weights = present * (1 - present) * 2 * (SIMILARITY_SCALE * LOGIT_SCALE) ** 2 / np.asarray(run.prior.strength)
    influence = np.zeros(known.shape[1])
    for column in range(known.shape[1]):
        rows = np.flatnonzero(known[:, column])
        if len(rows):
            noise = np.diag(1 / np.maximum(weights[rows, column], TINY))
            across = likeness[rows]
            explained = (across * np.linalg.solve(likeness[np.ix_(rows, rows)] + noise, across)).sum()
            influence[column] = explained / max(np.trace(likeness) - explained, TINY)
    return influence
