"""Classes of which training sees no label: which ones, and what each method knows of them.

Generalised zero-shot: seen and unseen classes are scored separately and together. Classes are independent, so an unseen
one keeps the start of what a method learns per class, and gains by what a method learns for all classes.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from promptmlr.errors import UserError, nearest
from promptmlr.methods import CLASS_FREE_TEMPLATE, METHOD_TABLE, PRESENCE_TEMPLATE, Kind, Start
from promptmlr.names import checked_class_names
from promptmlr.paper.grid.observed import Observed
from promptmlr.paper.grid.results import GridResults
from promptmlr.recipes import Recipe
from promptmlr.report.findings import Finding, Lines

__all__ = [
    "COCO_48_17",
    "HARMONIC",
    "choose_classes",
    "class_groups",
    "harmonic_mean",
    "unseen_findings",
    "what_is_known",
]

SEED = 1_000_003  # of drawn classes

HARMONIC = "harmonic"  # the group that stands for the harmonic mean of seen and unseen classes

COCO_48_17 = "coco48-17"
"""48 seen and 17 unseen classes of COCO, used by DualCoOp's paper for its zero-shot table: the split of Bansal and
others ("Zero-Shot Object Detection", ECCV 2018; mscoco_seen_classes.json and mscoco_unseen_classes.json). The other 15
classes are in neither."""


def choose_classes(asked: str, class_names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The classes that `--unseen` names.

    Args:
        asked: a share of the classes, drawn at random with a fixed seed; "coco48-17"; a text file with a name per
            line; or names separated by commas.
        class_names: C names.

    Returns:
        The scored classes, in their order, and the unseen ones among them.

    Raises:
        UserError: it is none of these, a class is not in the data, or no seen or no unseen class is left.
    """
    if asked == COCO_48_17:
        split = _coco_split()
        if missing := [name for name in split if name not in class_names]:
            raise UserError(f"--unseen {asked}: the data have no class {missing[0]!r}; it is a split of COCO's classes")
        return [name for name in class_names if name in split], [name for name in split if split[name] == "unseen"]
    share = _number(asked)
    if share is not None:
        count = round(share * len(class_names)) if 0 < share < 1 else 0
        if not 0 < count < len(class_names):
            raise UserError(
                f"--unseen {asked}: of {len(class_names)} classes at least one is unseen and one seen; 0.2 is a fifth"
            )
        drawn = set(np.random.default_rng(SEED).permutation(len(class_names))[:count].tolist())
        return list(class_names), [name for index, name in enumerate(class_names) if index in drawn]
    listed = _read(Path(asked)) if "," not in asked and Path(asked).is_file() else asked.split(",")
    unseen = list(checked_class_names([name for name in listed if name.strip()], "--unseen"))
    if odd := [name for name in unseen if name not in class_names]:
        raise UserError(f"--unseen: no class {odd[0]!r} in the data; {nearest(odd[0], class_names)}")
    if len(unseen) == len(class_names):
        raise UserError("--unseen names all classes, so none is left to learn from; name fewer")
    return list(class_names), unseen


def class_groups(class_names: Sequence[str], unseen: Sequence[str]) -> dict[str, NDArray[np.intp]]:
    """Group → columns of its classes: all; and, if some are unseen, the seen and the unseen ones."""
    hidden = np.isin(class_names, list(unseen))
    groups = {"all": np.arange(len(class_names))}
    return groups | {"seen": np.flatnonzero(~hidden), "unseen": np.flatnonzero(hidden)} if len(unseen) else groups


def harmonic_mean(seen: GridResults, unseen: GridResults) -> GridResults:
    """The harmonic mean of mAP on seen and on unseen classes, of every cell and every resample; 0 where one is 0.

    It is how single-label zero-shot learning sums the two up (Xian and others, "Zero-Shot Learning: A Comprehensive
    Evaluation of the Good, the Bad and the Ugly", TPAMI 2019). Multi-label papers print the score on all classes
    instead.
    """
    return replace(
        seen,
        scores=_harmonic(seen.scores, unseen.scores),
        resampled=_harmonic(seen.resampled, unseen.resampled),
        other_metrics={},
    )


def unseen_findings(
    unseen: Sequence[str], class_names: Sequence[str], recipes: Mapping[tuple[str, Observed], Recipe]
) -> list[Finding]:
    """Which classes are unseen, and what each method knows of them under its recipes; empty if all are seen."""
    if not unseen:
        return []
    known = dict.fromkeys(what_is_known(method, recipe) for (method, _), recipe in recipes.items())
    return [
        f"Unseen in training are {len(unseen)} of {len(class_names)} classes: {', '.join(unseen)}. Their labels are "
        "hidden, the images that show them stay.",
        Lines("What each method knows of them", list(known)),
    ]


def what_is_known(method: str, recipe: Recipe) -> str:
    """A sentence on how a method scores an unseen class."""
    row = METHOD_TABLE[method]
    if not row.trained:
        return f"{method}: the class's text, as for every class."
    presence = _start(row.presence, row.presence_start or recipe.start, recipe)
    absence = _start(row.absence, row.absence_start or recipe.start, recipe)
    stay = "keeps its start" if recipe.weight_decay == 0 else "keeps its start but for weight decay"
    if presence == absence and "shared" in presence:
        return f"{method}: the class's name in the contexts that were learned from the seen classes."
    if presence == absence and "random" not in presence:
        return f"{method}: nothing; each side {stay}, which is the same ({presence}), so it predicts ½ for every image."
    return f"{method}: presence is {presence}, absence {absence}; what is not shared {stay}."


def _harmonic(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    both = one + other
    return np.divide(2 * one * other, both, out=np.zeros_like(both), where=both != 0)


def _start(kind: Kind, start: Start, recipe: Recipe) -> str:
    """In words, a side of a class without labels; equal words mean equal similarities."""
    if kind == "linear":
        return f"a linear layer of {recipe.linear_start} weights"
    named = _sentence(PRESENCE_TEMPLATE) if recipe.templates == "one" else f"the {recipe.templates} templates"
    texts = {"text": named, "agnostic": _sentence(CLASS_FREE_TEMPLATE)}
    if kind == "embedding":
        return texts.get(start, f"a {start} vector")
    if kind != "prompt":
        return f"{kind} as it starts"
    if not recipe.class_specific:
        prompt = "the shared context with its name"
    elif recipe.context_words is None:
        prompt = "random tokens with its name"
    else:
        prompt = _sentence(f"{recipe.context_words} {{}}.")
    return prompt if recipe.offset != "random" else f"{prompt} and a random offset"


def _sentence(template: str) -> str:
    return f"“{template.format('NAME')}”"


def _coco_split() -> dict[str, str]:
    """Class name → "seen" or "unseen"."""
    with files("promptmlr.paper.grid").joinpath(f"{COCO_48_17}.csv").open(encoding="utf-8") as file:
        return {row["class"]: row["group"] for row in csv.DictReader(file)}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--unseen: cannot read {path}: {error}") from error
