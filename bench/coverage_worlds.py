"""Worlds of which test sets are drawn, and their true mAP.

Letters: N images, C classes.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from promptmlr.labels import ABSENT, PRESENT, UNKNOWN

Array = NDArray[np.float64]
RANKS = (np.arange(4000) + 0.5) / 4000
RAREST, COMMONEST = 0.02, 0.30
COMMON = 0.4  # of the variance of labels and of scores: what an image's classes share, where they depend on each other


@dataclass(frozen=True)
class World:
    """Where test sets come from: classes at 2 to 30 %, and scores that are higher where a class is present.

    Attributes:
        classes: C.
        distance: by how many standard deviations scores of present labels are higher, on average over classes.
        dependent: whether an image's labels and scores depend on each other.
        known: share of labels that are known in the test.
        skewed: whether scores are not normal: a share HARD of the absents has a second, higher cluster.
    """

    classes: int
    distance: float
    dependent: bool = False
    known: float = 1.0
    skewed: bool = False

    @property
    def prevalence(self) -> Array:
        """(C,)"""
        return np.geomspace(RAREST, COMMONEST, self.classes)

    @property
    def distances(self) -> Array:
        """(C,)"""
        return self.distance + np.linspace(0.4, -0.4, self.classes)

    def labels(self, images: int, rng: np.random.Generator) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """(N, C) labels as known, and complete."""
        liability = noise(images, self.classes, self.dependent, rng)
        found = np.where(ndtr(liability) < self.prevalence, np.int8(PRESENT), np.int8(ABSENT))
        hidden = rng.random(found.shape) >= self.known
        return np.where(hidden, np.int8(UNKNOWN), found), found

    def scores(self, truth: NDArray[np.int8], rng: np.random.Generator) -> Array:
        """(N, C) of complete labels."""
        return noise(*truth.shape, self.dependent, rng) + self.means(truth, rng)

    def means(self, truth: NDArray[np.int8], rng: np.random.Generator) -> Array:
        """(N, C) of the scores of complete labels."""
        hard = (truth == ABSENT) & (rng.random(truth.shape) < HARD) if self.skewed else 0.0
        return hard + (truth == PRESENT) * self.distances

    def true_map(self, scored: NDArray[np.bool_], more: float | Array = 0.0) -> float:
        """On all images, over some of the classes."""
        each = np.broadcast_to(self.distances + more, self.classes)
        aps = [_true_ap(p, float(d), self.skewed) for p, d in zip(self.prevalence, each, strict=True)]
        return float(np.mean(np.array(aps)[scored]))


HARD = 0.1  # share of absents that look a little like the class, in a skewed world


def noise(images: int, classes: int, dependent: bool, rng: np.random.Generator) -> Array:
    own = rng.standard_normal((images, classes))
    if not dependent:
        return own
    return np.sqrt(1 - COMMON) * own + np.sqrt(COMMON) * rng.standard_normal((images, 1))


@cache
def _true_ap(prevalence: float, distance: float, skewed: bool) -> float:
    """By the ranks of positives among all images, without any sample."""
    bars = distance + ndtri(RANKS)  # scores of positives
    above = norm.sf(bars)
    if skewed:
        above = (1 - HARD) * above + HARD * norm.sf(bars - 1)
    recall = prevalence * (1 - RANKS)
    return float((recall / (recall + (1 - prevalence) * above)).mean())


WORLDS = {
    "weak scores": lambda classes: World(classes, 0.7),
    "strong scores": lambda classes: World(classes, 2.0),
    "strong, classes depend on each other": lambda classes: World(classes, 2.0, dependent=True),
    "strong, half of the labels known": lambda classes: World(classes, 2.0, known=0.5),
    "strong, a tenth of the absents hard": lambda classes: World(classes, 2.0, skewed=True),
}


def drawn(world: World, images: int, rng: np.random.Generator) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """(N, C) labels as known, and complete; at least one class has a positive."""
    while True:
        labels, truth = world.labels(images, rng)
        if (labels == PRESENT).any():
            return labels, truth
