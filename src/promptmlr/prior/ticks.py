"""Ticks: classes of which presence was noted and absence never, recognised before training.

Ignoring what is unknown then leaves nothing that speaks against a class, and it ends up everywhere. Letters: N images,
C classes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.names import first_names
from promptmlr.recipes import Recipe

__all__ = ["COST_OF_TICKS", "described_ticks", "settled", "taken_as_absent", "ticked_classes"]

COST_OF_TICKS = "hill"
BY_CHANCE = 3  # labels present of a class and none absent: fewer may be chance where other classes have both


def ticked_classes(labels: Labels) -> NDArray[np.bool_]:
    """(C,) classes that have ticks alone, of (N, C) labels; all, where some labels are present and none is absent."""
    present, absent = (labels == PRESENT).sum(axis=0), (labels == ABSENT).sum(axis=0)
    if present.any() and not absent.any():
        return np.ones(labels.shape[1], dtype=np.bool_)
    ticked: NDArray[np.bool_] = (present >= BY_CHANCE) & (absent == 0)
    return ticked


def taken_as_absent(labels: Labels) -> Labels:
    """(N, C) labels in which the unknown ones of ticked classes are absent: to rank recognizers by, never to train on.

    Among ticks alone any order of images is perfect. With the rest absent, an order is better the higher the ticks
    stand in it; what is present and was not ticked is held against everyone alike, so mAP is too low and still tells
    the better one. Cole et al., 2021, choose on clean validation labels, which nobody has here.
    """
    return np.where(ticked_classes(labels) & (labels == UNKNOWN), np.int8(ABSENT), labels)


def settled(recipe: Recipe, labels: Labels) -> tuple[Recipe, NDArray[np.bool_]]:
    """A recipe that says what unknown labels cost, and the (C,) classes in which they do.

    "auto" is "ignore", but for ticked classes: there it is Hill's cost, under which the share that is expected to be
    present stays near the truth (docs/few-labels.md). Whatever else a recipe says holds for all classes.
    """
    if recipe.unknown != "auto":
        return recipe, np.full(labels.shape[1], recipe.unknown != "ignore")
    ticked = ticked_classes(labels)
    return recipe.model_copy(update={"unknown": COST_OF_TICKS if ticked.any() else "ignore"}), ticked


def described_ticks(
    recipe: Recipe, labels: Labels, class_names: Sequence[str], level_known: bool = False
) -> str | None:
    """What to say of a settled recipe on these labels; None where nothing is ticked.

    Args:
        recipe: as `settled` gives it.
        labels: (N, C) int8.
        class_names: C names.
        level_known: whether a person said how often classes are present.
    """
    ticked = ticked_classes(labels)
    if not ticked.any():
        return None
    which = "no label says what is absent"
    if not ticked.all():
        named = first_names([name for name, tick in zip(class_names, ticked, strict=True) if tick])
        which = f"no label says where these are absent: {named}"
    if recipe.unknown == "ignore":
        return f"warning: {which}, and unknown labels cost nothing, so nothing speaks against a class"
    told = f"{which}; unknown labels cost what --unknown {recipe.unknown} says"
    if level_known:
        return told
    return (
        f"{told}, and how probable a class is on the whole comes from that cost. A few labels of absence (`promptmlr "
        "suggest` asks for them), or --share, would settle it"
    )
