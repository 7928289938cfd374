"""One condition: four pairs of sides from one start, under one prior."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from promptmlr.backbone import Backbone
from promptmlr.labels import Labels, hide, keep_mask
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.paper.claim.plan import PAIRS, ZERO_SHOT, Pair, pair_name
from promptmlr.paper.grid.scoring import Score, score
from promptmlr.prior.fitting import BegunRun, begin_run
from promptmlr.recipes import Recipe, load_recipe
from promptmlr.recognizer import Recognizer
from promptmlr.regions import InMemoryRegions
from promptmlr.sides import PromptSide
from promptmlr.training import fit_runs

__all__ = ["ANCHORED", "Images", "Trained", "build", "learned", "recipe_of", "train"]

ANCHORED: Pair = ("embedding", "embedding")
"""The pair whose strength of the prior all pairs take: the method `anchored` itself."""


@dataclass(frozen=True, eq=False)
class Images:
    """Regions and labels of a world under a tower.

    Attributes:
        class_names: C names.
        train: regions of N images.
        labels: (N, C) int8, before any are hidden.
        test: regions of N' images.
        test_labels: (N', C) int8.
    """

    class_names: Sequence[str]
    train: InMemoryRegions
    labels: Labels
    test: InMemoryRegions
    test_labels: Labels


@dataclass(frozen=True, eq=False)
class Trained:
    """A pair of sides after training, or the start of all pairs.

    Attributes:
        name: of the pair, or `ZERO_SHOT`.
        seed: of its mask.
        score: on the test images.
        resampled: (S,) mAP on resamples of them.
        epochs: of its training; 0 without training, or under an infinite prior.
        learned_parameters: number of learned values.
        seconds: of its training, a share of that of all masks.
    """

    name: str
    seed: int
    score: Score
    resampled: NDArray[np.float64]
    epochs: int
    learned_parameters: int
    seconds: float


def recipe_of(context_rate: float) -> Recipe:
    """The recipe of `anchored`, with a rate for prompts."""
    return load_recipe("default", "anchored", context_rate=context_rate)


def build(pair: Pair, backbone: Backbone, class_names: Sequence[str], recipe: Recipe) -> Recognizer:
    """A pair of sides whose class vectors start in the directions in which those of `anchored` start.

    A prompt reaches the class's text by its words. An absence prompt does not reach the mean of all class texts, so a
    constant is added to its text features, which leads from where its words start to there. It is not learned: what a
    prompt learns, it learns through the text tower.
    """
    anchored = METHOD_TABLE["anchored"]
    method = replace(anchored, presence=pair[0], absence=pair[1], summary=pair_name(pair))
    options = recipe.start_options()
    recognizer = create_recognizer(method, backbone, class_names, **options)
    side = recognizer.absence
    if isinstance(side, PromptSide):
        like = create_recognizer("anchored", backbone, class_names, **options).absence
        with torch.no_grad():
            features = side.text_features()
            wanted = nn.functional.normalize(like.class_vectors(), dim=-1) * features.norm(dim=-1, keepdim=True)
            side.offset = nn.Parameter(wanted - features, requires_grad=False)
    return recognizer


def learned(recognizer: Recognizer) -> int:
    """Number of values that training changes."""
    return sum(tensor.numel() for tensor in recognizer.parameters() if tensor.requires_grad)


def train(
    images: Images,
    backbone: Backbone,
    recipe: Recipe,
    observed: float,
    seeds: int,
) -> list[Trained]:
    """Train all pairs on the labels of every mask, and score them and their start; the masks of a pair are stacked.

    Args:
        images: regions and labels.
        backbone: the frozen CLIP.
        recipe: of every pair.
        observed: fraction of the labels that training sees.
        seeds: K, the number of masks.

    Returns:
        For zero-shot and every pair, the K masks in their order.
    """
    labels = [hide(images.labels, keep_mask(images.labels.shape, observed, seed)) for seed in range(seeds)]
    chosen: list[BegunRun] = []
    starts: list[Recognizer] = []
    trained: list[Recognizer] = []
    rest: list[tuple[str, int, int, int, float]] = []
    for pair in sorted(PAIRS, key=lambda one: one != ANCHORED):
        begin = time.perf_counter()
        begun = []
        for seed, known in enumerate(labels):
            recognizer = build(pair, backbone, images.class_names, recipe)
            record = chosen[seed].record if chosen else None
            begun.append(begin_run(recognizer, images.train, known, recipe, seed=seed, record=record))
        chosen = chosen or begun
        starts += [one.run.recognizer.fold() for one in begun]
        fit_runs([one.run for one in begun], images.train)
        trained += [one.run.recognizer.fold() for one in begun]
        seconds = round((time.perf_counter() - begin) / seeds, 3)
        counts = [(one.run.state.epoch, learned(one.run.recognizer)) for one in begun]
        rest += [(pair_name(pair), seed, *count, seconds) for seed, count in enumerate(counts)]
    found = list(score([starts[0], *starts], [starts[0], *trained], images.test, images.test_labels))
    zero_shot = [Trained(ZERO_SHOT, seed, *found[0], 0, 0, 0.0) for seed in range(seeds)]  # no mask changes a rank
    return zero_shot + [
        Trained(name, seed, *own, epochs, count, spent)
        for (name, seed, epochs, count, spent), own in zip(rest, found[1:], strict=True)
    ]
