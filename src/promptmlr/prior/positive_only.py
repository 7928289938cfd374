"""Positive-only classes: classes with present labels and no absent ones, recognised before training.

If their unknown labels are ignored, no label contradicts presence, and training predicts the class for every image.
Letters: N images, C classes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.names import first_names
from promptmlr.recipes import Recipe

__all__ = ["POSITIVE_ONLY_COST", "assume_negative", "positive_only_classes", "positive_only_note", "resolve_unknown"]

POSITIVE_ONLY_COST = "hill"
BY_CHANCE = 3  # present labels from which on a class without absent ones is positive-only if other classes have both


def positive_only_classes(labels: Labels) -> NDArray[np.bool_]:
    """(C,) positive-only classes of (N, C) labels; all classes if some label is present and none is absent."""
    present, absent = (labels == PRESENT).sum(axis=0), (labels == ABSENT).sum(axis=0)
    if present.any() and not absent.any():
        return np.ones(labels.shape[1], dtype=np.bool_)
    positive_only: NDArray[np.bool_] = (present >= BY_CHANCE) & (absent == 0)
    return positive_only


def assume_negative(labels: Labels) -> Labels:
    """(N, C) labels with unknown ones of positive-only classes taken as absent: to rank recognizers, not to train them.

    On present labels alone every ranking of images is perfect. With the others taken as absent, a ranking is better the
    higher the present labels are in it. Present images without a label lower the mAP of all recognizers alike, so mAP
    is too low but still compares them. Cole et al., 2021, select on clean validation labels, which are not available
    here.
    """
    return np.where(positive_only_classes(labels) & (labels == UNKNOWN), np.int8(ABSENT), labels)


def resolve_unknown(recipe: Recipe, labels: Labels) -> tuple[Recipe, NDArray[np.bool_]]:
    """The recipe with "auto" replaced by a cost of unknown labels, and the (C,) classes to which the cost applies.

    The cost "auto" becomes "ignore" or, if there are positive-only classes, Hill's cost in these classes, under which
    the expected prevalence stays near the truth (docs/few-labels.md). Any other cost applies to all classes.
    """
    if recipe.unknown != "auto":
        return recipe, np.full(labels.shape[1], recipe.unknown != "ignore")
    positive_only = positive_only_classes(labels)
    return recipe.model_copy(update={"unknown": POSITIVE_ONLY_COST if positive_only.any() else "ignore"}), positive_only


def positive_only_note(
    recipe: Recipe, labels: Labels, class_names: Sequence[str], level_known: bool = False
) -> str | None:
    """A line on positive-only classes and their cost of unknown labels; None if there are no such classes.

    Args:
        recipe: as `resolve_unknown` returns it.
        labels: (N, C) int8.
        class_names: C names.
        level_known: whether the prevalence of classes is known.
    """
    positive_only = positive_only_classes(labels)
    if not positive_only.any():
        return None
    which = "no label says what is absent"
    if not positive_only.all():
        named = first_names([name for name, tick in zip(class_names, positive_only, strict=True) if tick])
        which = f"no label says where these are absent: {named}"
    if recipe.unknown == "ignore":
        return f"warning: {which}, and unknown labels cost nothing, so no label contradicts presence"
    note = f"{which}; unknown labels cost what --unknown {recipe.unknown} says"
    if level_known:
        return note
    return (
        f"{note}, and how probable a class is on the whole comes from that cost. A few labels of absence (`promptmlr "
        "suggest` asks for them), or --share, would settle it"
    )
