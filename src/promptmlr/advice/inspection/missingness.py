"""Which labels are unknown, and what that seems to depend on.

Rubin ("Inference and missing data", Biometrika 63, 1976; Little and Rubin, "Statistical Analysis with Missing Data")
tells apart labels that are missing completely at random (MCAR: whatever the labels are, though each class may have a
rate of its own), at random (MAR: by what is known) and not at random (MNAR: by what is unknown). What is known can
contradict the first. It cannot tell the last two apart: every model of the one has a counterpart of the other that fits
as well (Molenberghs et al., J. R. Statistical Society B 70, 2008). Letters: N images, C classes, G splits.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from promptmlr.advice.inspection.association import (
    Counts,
    between_groups,
    cochran_q,
    enough,
    likelihood_ratio,
    v_of_shares,
)
from promptmlr.advice.inspection.labels import JointCounts, blocks
from promptmlr.advice.inspection.split_counts import SplitCounts
from promptmlr.labels import UNKNOWN, Labels
from promptmlr.uncertainty import holm

__all__ = ["LEVEL", "Dependence", "LabelDependence", "Missingness", "Subject", "missingness"]

LEVEL = 0.05
_KEPT = 1_000  # pairs of classes, the strongest

Subject = Literal["class", "image", "other labels", "split", "label itself"]


@dataclass(frozen=True)
class Dependence:
    """What one test says of whether being known depends on something.

    Attributes:
        on: what.
        effect: Cramér's V, less what chance adds; NaN where nothing could be tested.
        p: corrected for all questions that were asked, and for the classes in this one (Holm).
        share: that is known (or, of the label itself, present) on the whole.
        column: of the class that shows it, where all of them together do not.
    """

    on: Subject
    effect: float
    p: float
    share: float
    column: int | None = None

    @property
    def spread(self) -> float:
        """How far shares lie from `share`, as a standard deviation. Where few labels are known, V is small even so."""
        return self.effect * math.sqrt(self.share * (1 - self.share))

    @property
    def found(self) -> bool:
        """Whether chance does not explain it."""
        return self.p < LEVEL


@dataclass(frozen=True)
class LabelDependence:
    """A class that is known more often, or less, where another is present.

    Attributes:
        known: column of the class.
        given: column of the other.
        images: on which the other is known.
        if_present: share of those with the other present on which the class is known.
        if_absent: the same of those with the other absent.
        effect: Cramér's V.
        p: corrected for all pairs (Holm).
    """

    known: int
    given: int
    images: int
    if_present: float
    if_absent: float
    effect: float
    p: float


@dataclass(frozen=True, eq=False)
class Missingness:
    """What is known and unknown in a data set.

    Attributes:
        parts: its splits.
        trained: the one that training takes, of which all questions are but those that compare splits.
        dependences: the questions; none where nothing is missing, or nothing known.
        dependent_pairs: classes that are known by what other labels are, the strongest first, the first thousand.
        standing: how many there are in all.
        tested: how many pairs of classes have enough labels for that.
    """

    parts: Sequence[SplitCounts]
    trained: SplitCounts
    dependences: Sequence[Dependence]
    dependent_pairs: Sequence[LabelDependence]
    standing: int
    tested: int


def missingness(parts: Mapping[str | None, Labels], trained: str | None, together: JointCounts) -> Missingness:
    """Count what is known, and test what being known depends on.

    Args:
        parts: split → (N, C) int8 labels.
        trained: the split that training takes.
        together: counts over the images of that split.
    """
    counted = [SplitCounts.of(split, labels) for split, labels in parts.items()]
    one = next(part for part in counted if part.split == trained)
    asked: list[Dependence] = []
    dependent_pairs: list[LabelDependence] = []
    standing = tested = 0
    if one.kind == "partial":
        on_labels, dependent_pairs, standing, tested = _on_labels(together)
        asked = [_on_class(one), _on_image(one), on_labels]
    seen = {part.split: part for part in counted if part.known.any()}
    if len(seen) > 1 and any(part.share < 1 for part in seen.values()):
        asked += [_on_split(list(seen.values())), _on_itself(seen, parts)]
    corrected = holm([question.p for question in asked])
    dependences = [replace(question, p=p) for question, p in zip(asked, corrected, strict=True)]
    return Missingness(counted, one, dependences, dependent_pairs, standing, tested)


def _on_class(part: SplitCounts) -> Dependence:
    images = np.full(len(part.known), len(part.known_of))
    return Dependence("class", float(v_of_shares(part.known, images)), cochran_q(part.known, part.known_of), part.share)


def _on_image(part: SplitCounts) -> Dependence:
    classes = np.full(len(part.known_of), len(part.known))
    return Dependence(
        "image", float(v_of_shares(part.known_of, classes)), cochran_q(part.known_of, part.known), part.share
    )


def _on_labels(together: JointCounts) -> tuple[Dependence, list[LabelDependence], int, int]:
    """Whether a class is known more often, or less, where another is present, for all pairs that can be tested.

    Returns:
        The answer, the pairs that stand out, the strongest first; how many stand out, and how many were tested.
    """
    given, known, tables = _tables(together)
    if not len(given):
        return Dependence("other labels", math.nan, 1.0, math.nan), [], 0, 0
    p_values = np.array(holm(likelihood_ratio(tables).tolist()), dtype=np.float64)
    of = tables.sum(axis=-2)
    effects, shares = v_of_shares(tables[:, 0], of), tables[:, 0] / of
    order = np.lexsort((-effects, p_values))
    standing = order[p_values[order] < LEVEL]
    dependent_pairs = [
        LabelDependence(
            known=int(known[i]),
            given=int(given[i]),
            images=int(of[i].sum()),
            if_present=float(shares[i, 0]),
            if_absent=float(shares[i, 1]),
            effect=float(effects[i]),
            p=float(p_values[i]),
        )
        for i in standing[np.argsort(-effects[standing], kind="stable")][:_KEPT]
    ]
    plainest = order[0]
    return (
        Dependence("other labels", float(effects[plainest]), float(p_values[plainest]), math.nan),
        dependent_pairs,
        len(standing),
        len(given),
    )


def _tables(together: JointCounts) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """(P,) columns of the class given, (P,) of the class that is known or not, and (P, 2, 2) images.

    Of the tables, rows are known and unknown, columns the class given present and absent; they are over the images on
    which that one is known. A class never meets itself, because there it is always known.
    """
    found = []
    for column, (known, present) in enumerate(zip(together.known, together.present, strict=True)):
        both = np.stack([present, known - present], axis=-1)
        every = np.array([present[column], known[column] - present[column]])
        tables = np.stack([both, every - both], axis=-2)
        chosen = np.flatnonzero(enough(tables))
        found.append((np.full(len(chosen), column), chosen, tables[chosen]))
    given, columns, tables = (np.concatenate(each) for each in zip(*found, strict=True))
    return given, columns, tables


def _on_split(parts: Sequence[SplitCounts]) -> Dependence:
    """Whether images of one split have more known labels than those of another, or some class has."""
    images = np.array([len(part.known_of) for part in parts])
    known = np.stack([part.known for part in parts], axis=-1)  # (C, G)
    whole = between_groups(*_scores([part.known_of.astype(np.float64) for part in parts]))
    return _most("split", whole, known.sum(axis=0), images * len(known), known, np.broadcast_to(images, known.shape))


def _on_itself(parts: Mapping[str | None, SplitCounts], labels: Mapping[str | None, Labels]) -> Dependence:
    """Whether more of the known labels are present in one split than in another.

    If splits are random, presence is as frequent in all of them, and what differs is how labels came to be known: by
    what they are. It is the one sign of that which can be seen without the unknown labels.
    """
    known = np.stack([part.known for part in parts.values()], axis=-1)
    present = np.stack([part.present for part in parts.values()], axis=-1)
    if present.sum() == known.sum() or not present.any():
        return Dependence("label itself", math.nan, 1.0, math.nan)
    usual = present.sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)  # (C,) share present
    expected = [_expected(labels[split], usual) for split in parts]
    whole = between_groups(
        *_scores([part.present_of - one for part, one in zip(parts.values(), expected, strict=True)])
    )
    return _most("label itself", whole, present.sum(axis=0), known.sum(axis=0), present, known)


def _expected(labels: Labels, usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) how many of the known labels of an image would be present, if each class were as frequent as usual."""
    return np.concatenate([(rows != UNKNOWN) @ usual for rows in blocks(labels)])


def _scores(by_group: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    return np.concatenate(by_group), np.repeat(np.arange(len(by_group)), [len(scores) for scores in by_group])


def _most(on: Subject, p: float, yes: Counts, of: Counts, by_class: Counts, of_class: Counts) -> Dependence:
    """All classes together, or the one class that shows it where all together do not.

    Args:
        on: the question.
        p: of all classes together.
        yes: (G,) cells that are.
        of: (G,) cells that could be.
        by_class: (C, G) the same of each class.
        of_class: see `by_class`.
    """
    tables = np.stack([by_class, of_class - by_class], axis=-2)
    columns = np.flatnonzero(enough(tables))
    adjusted = holm([p, *likelihood_ratio(tables[columns]).tolist()])
    plainest = 0 if adjusted[0] < LEVEL else int(np.argmin(adjusted))
    if plainest == 0:
        return Dependence(on, float(v_of_shares(yes, of)), adjusted[0], float(yes.sum() / of.sum()))
    column = int(columns[plainest - 1])
    yes, of = by_class[column], of_class[column]
    return Dependence(on, float(v_of_shares(yes, of)), adjusted[plainest], float(yes.sum() / of.sum()), column)
