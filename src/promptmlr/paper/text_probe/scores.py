"""How CLIP's text encodes absence: the paper's Table 3 with a reference, and whether "no X" fires on images of X.

Letters: C classes, D feature width, T templates, Q sentences, N images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.backbone import Backbone
from promptmlr.errors import UserError
from promptmlr.functional import cosine_map
from promptmlr.labels import Labels
from promptmlr.maps.sentences import Templates, text_directions
from promptmlr.names import checked_class_names
from promptmlr.paper.text_probe.auc import auc, bootstrap_auc
from promptmlr.regions import RegionSource, in_order

__all__ = ["SENTENCES", "PresenceScore", "PromptCosines", "presence_scores", "prompt_cosines"]

Scope = Literal["global", "local"]

SENTENCES = ("a photo of a {}", "no {}", "not a photo of a {}")
"""Sentences that images are compared with: one states that the class is present, two that it is absent."""

BATCH = 32  # images whose maps are held at once
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class PromptCosines:
    """Per class, cosines of text features; each a mean over pairs of templates.

    Attributes:
        class_names: C names.
        positive_negative: (C,) of every positive with every negative template.
        positive_positive: (C,) of every positive with every other positive template.
        between_classes: (C,) mean over the other classes, in the same positive template.
        nearest_class: (C,) the largest over the other classes, in the same positive template.
    """

    class_names: tuple[str, ...]
    positive_negative: NDArray[np.float64]
    positive_positive: NDArray[np.float64]
    between_classes: NDArray[np.float64]
    nearest_class: NDArray[np.float64]


def prompt_cosines(backbone: Backbone, class_names: Sequence[str], templates: Templates) -> PromptCosines:
    """Measure the cosines of templates in a text tower's features.

    Raises:
        UserError: fewer than two classes, or a sentence that does not fit the context.
    """
    names = checked_class_names(class_names)
    if len(names) < 2:
        raise UserError("at least two classes are needed: the cosine between classes is the reference")
    positive = text_directions(backbone, names, templates.positive)
    same = templates.other == templates.positive
    other = positive if same else text_directions(backbone, names, templates.other)
    negative = text_directions(backbone, names, templates.negative)
    # The mean over pairs is the product of the means; of a set with itself, less the ones on the diagonal.
    pairs = len(positive) * len(other)
    twins = len(positive) if same else 0
    positive_positive = (_mean_product(positive, other) * pairs - twins) / (pairs - twins)
    between = torch.einsum("tcd,ted->ce", positive, positive) / len(positive)
    others = (between.sum(dim=1) - between.diagonal()) / (len(names) - 1)
    return PromptCosines(
        names,
        _mean_product(positive, negative).numpy(),
        positive_positive.numpy(),
        others.numpy(),
        between.fill_diagonal_(-torch.inf).amax(dim=1).numpy(),
    )


def _mean_product(a: Tensor, b: Tensor) -> Tensor:
    """(T, C, D) and (T', C, D) → (C,)."""
    return (a.mean(dim=0) * b.mean(dim=0)).sum(dim=-1)


@dataclass(frozen=True, eq=False)
class PresenceScore:
    """The AUC of a sentence's cosine with images, as a score for the class's presence.

    Attributes:
        sentence: one of `SENTENCES`.
        scope: "global" is region 0; "local" is the largest cosine over all other regions.
        per_class: (C,), NaN for classes without a present or without an absent label.
        mean: over the classes that are not NaN.
        low: lower end of its 95 % interval, a percentile bootstrap over images.
        high: upper end.
    """

    sentence: str
    scope: Scope
    per_class: NDArray[np.float64]
    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Whether the sentence is nearer to images with the class, to images without it, or undecided."""
        if self.low > 0.5:
            return "nearer to images with the class"
        return "nearer to images without it" if self.high < 0.5 else "within noise of 1/2"


def presence_scores(
    backbone: Backbone,
    source: RegionSource,
    labels: Labels,
    class_names: Sequence[str],
    resamples: int = RESAMPLES,
) -> list[PresenceScore]:
    """Score presence by the cosine of sentences with regions.

    Args:
        backbone: the frozen CLIP that made the regions.
        source: regions of N images.
        labels: (N, C) int8.
        class_names: C names.
        resamples: of the images.

    Returns:
        One score for each of `SENTENCES` and scope.

    Raises:
        UserError: no class has both a present and an absent label.
    """
    if not ((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any():
        raise UserError("no class has both a present and an absent label, so no AUC can be computed")
    kept, cosines = _image_cosines(backbone, source, class_names)
    scores = []
    for sentence, of_sentence in zip(SENTENCES, cosines, strict=True):
        scopes: tuple[Scope, ...] = ("global", "local")
        for scope, values in zip(scopes, of_sentence, strict=True):
            per_class = auc(values, labels[kept])
            low, high = np.nanquantile(bootstrap_auc(values, labels[kept], resamples), [0.025, 0.975])
            scores.append(
                PresenceScore(sentence, scope, per_class, float(np.nanmean(per_class)), float(low), float(high))
            )
    return scores


@torch.no_grad()
def _image_cosines(
    backbone: Backbone, source: RegionSource, class_names: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(N',) indices of the readable images, and (Q, 2, N', C) scaled cosines: global, and the largest local one."""
    vectors = torch.cat(
        [backbone.encode_text([sentence.format(name) for name in class_names]) for sentence in SENTENCES]
    ).float()
    kept, found = [], []
    for indices, regions in in_order(source, BATCH):
        maps = cosine_map(regions.float(), vectors).unflatten(1, (len(SENTENCES), -1))
        kept.append(indices)
        found.append(torch.stack([maps[..., 0], maps[..., 1:].amax(dim=-1)]).cpu())
    return np.concatenate(kept), torch.cat(found, dim=1).permute(2, 0, 1, 3).numpy()
