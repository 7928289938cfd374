"""Made-up worlds for tests of priors: classes are directions in feature space, and texts know these well or badly."""

import numpy as np
import torch

from promptmlr.labels import UNKNOWN, Labels
from promptmlr.prediction import predict_margins
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import InMemoryRegions
from promptmlr.sides import EmbeddingSide
from promptmlr.training import TrainingRun

CLASSES, WIDTH = 4, 24
NAMES = tuple(f"class {number}" for number in range(CLASSES))


def recipe(**changes: object) -> Recipe:
    """The default recipe of the method with a prior."""
    return load_recipe("default", "anchored", **changes)


def odds_of(run: TrainingRun, source: InMemoryRegions) -> np.ndarray:
    """Log odds (N, C) of a run as it stands."""
    return predict_margins(run.recognizer.fold(), source)[1]


def world(
    images: int = 200,
    *,
    known: float = 0.5,
    texts: str = "right",
    labels: str = "right",
    seed: int = 0,
) -> tuple[Recognizer, InMemoryRegions, Labels]:
    """A recognizer from texts, regions (N, 3, 24), and labels (N, 4) of which some are known.

    Args:
        images: N.
        known: share of labels.
        texts: "right", or "shuffled": each says what another class looks like.
        labels: "right", "noise": drawn without a look at the image, or "ticks": what is absent is never said.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(WIDTH, CLASSES + 1)))[0].T
    present = rng.random((images, CLASSES)) < 0.3
    regions = rng.normal(size=(images, 3, WIDTH)) * 0.4
    regions += (present @ directions[:CLASSES] + directions[CLASSES])[:, None]
    said = present if labels != "noise" else rng.random(present.shape) < 0.3
    codes = np.where(rng.random(said.shape) < known, said.astype(np.int8), np.int8(UNKNOWN))
    if labels == "ticks":
        codes[codes == 0] = UNKNOWN
    mean = directions.sum(axis=0)[None].repeat(CLASSES, axis=0)
    named = np.roll(directions[:CLASSES], texts == "shuffled", axis=0)
    sides = (EmbeddingSide.from_features(torch.from_numpy(side).float()) for side in (named, mean))
    return Recognizer(*sides, NAMES), InMemoryRegions(torch.from_numpy(regions).float()), codes
