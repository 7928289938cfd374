"""What is missing, in words: as lines and tables, and as rows of CSV files."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from promptmlr.advice.inspection.association import Counts
from promptmlr.advice.inspection.missingness import Dependence, Missingness, Subject
from promptmlr.advice.inspection.split_counts import Kind, SplitCounts
from promptmlr.advice.inspection.training_options import TrainingCommand
from promptmlr.names import first_names
from promptmlr.report.findings import Finding, Lines, Table
from promptmlr.report.tables import write_csv

__all__ = ["MissingLabels"]

_KINDS: dict[Kind, str] = {
    "nothing known": "nothing known",
    "complete": "complete",
    "one label each": "complete, one present label per image",
    "single positive": "single positive",
    "positive-only": "positive-only (positive-unlabelled)",
    "absent-only": "absent-only (no present label)",
    "partial": "partial, present and absent labels",
}
_NEVER = "so they are missing not at random (MNAR): a label that is absent is never known."
_NAMED: dict[Kind, str] = {
    "nothing known": "all unknown.",
    "complete": "complete: none is missing.",
    "one label each": "complete, with one present class in each image: either there is only one, or nobody looked for "
    "the others. Then they are single positive labels (Cole et al., 2021), and the others are unknown, not absent.",
    "single positive": f"single positive (Cole et al., 2021): one present class of an image is known, {_NEVER}",
    "absent-only": "absent labels alone: nothing says what any class looks like. Label some that are "
    "present, or say with --codes which cells mean it.",
    "positive-only": f"positive-unlabelled (Bekker and Davis, 2020): some present classes are known, {_NEVER}",
}
_NAMES = 5
_PAIRS = 5

_CANNOT_TELL = (
    "Whether being known depends on the label itself (missing not at random, MNAR), known labels cannot tell; only the "
    "unknown ones could. A few hundred random images, labelled completely, would tell."
)
_DIFFERENT = (
    "Known labels are present more often in one split than in another. Either the splits differ in what images show, "
    "or being known depends on the label itself (missing not at random, MNAR): these labels cannot tell which."
)


@dataclass(frozen=True)
class MissingLabels:
    """What is said of missing labels; a finding of `Inspection`.

    Attributes:
        found: what was found.
        class_names: C names.
        next: the training that follows.
    """

    found: Missingness
    class_names: Sequence[str]
    next: TrainingCommand

    def findings(self) -> list[Finding]:
        """All of it, on one screen."""
        return [
            Table("What is known, by split", *self._parts(), words=2),
            Lines(None, list(self._one_sided())),
            *self._questions(),
            " ".join(self._verdict()),
            Lines("To train on them", [self.next.command, *self.next.reasons]),
        ]

    def write(self, folder: Path) -> None:
        """`missingness.csv` and `known-with.csv`."""
        names = self.class_names
        questions = (
            {
                "depends_on": one.on,
                "class": "" if one.column is None else names[one.column],
                "cramers_v": "" if math.isnan(one.effect) else one.effect,
                "p_holm": "" if math.isnan(one.effect) else one.p,
                "answer": self._answer(one),
            }
            for one in self.found.dependences
        )
        columns = ["depends_on", "class", "cramers_v", "p_holm", "answer"]
        write_csv(folder / "missingness.csv", columns, questions)
        pairs = (
            vars(pair) | {"known": names[pair.known], "given": names[pair.given]} for pair in self.found.dependent_pairs
        )
        pair_columns = ["known", "given", "images", "if_present", "if_absent", "effect", "p"]
        write_csv(folder / "known-with.csv", pair_columns, pairs)

    @property
    def _inside(self) -> str:
        split = self.found.trained.split
        return f" in {split}" if split and len(self.found.parts) > 1 else ""

    def _parts(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        header = (
            "split",
            "labels are",
            "images",
            "known %",
            "known of a class %",
            "known of an image",
            "present of known %",
        )
        return header, [
            (
                part.split or "all",
                _KINDS[part.kind],
                f"{len(part.known_of):,}",
                _percent(part.share),
                " to ".join(_percent(known / len(part.known_of)) for known in (part.known.min(), part.known.max())),
                f"{part.known_of.min():,} to {part.known_of.max():,} of {len(part.known):,}",
                "–" if math.isnan(part.share_present) else _percent(part.share_present),
            )
            for part in self.found.parts
        ]

    def _one_sided(self) -> Iterator[str]:
        part = self.found.trained
        for word, count in (("present", part.present), ("absent", part.known - part.present)):
            never = [name for name, times in zip(self.class_names, count.tolist(), strict=True) if not times]
            which = ": " + first_names(never, _NAMES) if 0 < len(never) < len(self.class_names) else ""
            yield f"never known to be {word}{self._inside}: {len(never):,} of {len(self.class_names):,} classes{which}"

    def _questions(self) -> list[Finding]:
        if not self.found.dependences:
            return []
        rows = [(_ON[one.on], self._answer(one), *_numbers(one)) for one in self.found.dependences]
        caption = (
            "Whether a label is known depends on … (V: Cramér's, 0 to 1; p: corrected for all questions and classes; "
            "missingness.csv)"
        )
        found: list[Finding] = [Table(caption, ("depends on", "answer", "V", "p"), rows, words=2)]
        pairs = [
            f"{self.class_names[pair.known]} is known on {_percent(pair.if_present)} % of the images with "
            f"{self.class_names[pair.given]}, and on {_percent(pair.if_absent)} % of those without"
            for pair in self.found.dependent_pairs[:_PAIRS]
        ]
        if pairs:
            found.append(Lines(f"Other labels that matter most{self._inside} (known-with.csv)", pairs))
        return found

    def _answer(self, one: Dependence) -> str:
        if math.isnan(one.effect):
            return "cannot be tested: too few labels of both kinds"
        if not one.found:
            return "no sign of it"
        return f"yes: {self._detail(one)}"

    def _detail(self, one: Dependence) -> str:
        if one.on in ("class", "image"):
            return f"known, by {one.on}: {_percent(one.share)} ± {_percent(one.spread)} %"
        if one.on == "other labels":
            return f"{self.found.standing:,} of {self.found.tested:,} pairs of classes"
        of = "" if one.column is None else f" of {self.class_names[one.column]}"
        if one.on == "split":
            return f"known{of}: {self._by_split(one.column, lambda part: (part.known, len(part.known_of)))}"
        return f"present of the known{of}: {self._by_split(one.column, lambda part: (part.present, part.known))}"

    def _by_split(self, column: int | None, counts: Callable[[SplitCounts], tuple[Counts, Counts | int]]) -> str:
        """A share in each split, of one class or of all."""
        shown = []
        for part in self.found.parts:
            some, of = (np.broadcast_to(each, part.known.shape) for each in counts(part))
            some, of = (each.sum() if column is None else each[column] for each in (some, of))
            shown.append(f"{_percent(some / of) if of else '–'} % in {part.split}")
        return ", ".join(shown)

    def _verdict(self) -> Iterator[str]:
        part = self.found.trained
        inside = f"Labels{self._inside}"
        if part.kind in _NAMED:
            yield f"{inside} are {_NAMED[part.kind]}"
        else:
            yield from self._partial(inside)

    def _partial(self, inside: str) -> Iterator[str]:
        depends = {one.on for one in self.found.dependences if one.found}
        if positive_only := int(self.found.trained.positive_only.sum()):
            yield f"Positive-only classes: {positive_only:,}; unless by chance, missing not at random (MNAR)."
        if "other labels" in depends:
            yield (
                f"{inside} are not missing completely at random (MCAR): being known depends on other labels. Given "
                "those, they may be missing at random (MAR)."
            )
        elif "label itself" not in depends:
            rates = ", each class at a rate of its own" if "class" in depends else ""
            chosen = ", if it was chance which images have more of them" if "image" in depends else ""
            yield f"{inside} may be missing completely at random (MCAR){rates}{chosen}: nothing here speaks against it."
        yield _DIFFERENT if "label itself" in depends else _CANNOT_TELL


_ON: dict[Subject, str] = {
    "class": "the class",
    "image": "the image",
    "other labels": "other labels",
    "split": "the split",
    "label itself": "the label itself",
}


def _numbers(one: Dependence) -> tuple[str, str]:
    """Effect and p-value; no effect of what was picked out of many and may be chance."""
    picked = one.on == "other labels" or one.column is not None
    effect = "–" if math.isnan(one.effect) or (picked and not one.found) else f"{one.effect:.2f}"
    return effect, "–" if math.isnan(one.effect) else _p(one.p)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
