"""What an inspection found: on the terminal, in files, on a page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from promptmlr.advice.inspection.images import Duplicates, ImageCheck
from promptmlr.advice.inspection.labels import ClassCount, Pair
from promptmlr.advice.inspection.missingness_outputs import MissingLabels
from promptmlr.advice.inspection.names import NameRemark
from promptmlr.data import LabelledImages
from promptmlr.files import write_text
from promptmlr.report.findings import Finding, Heading, Lines, Table, as_markdown
from promptmlr.report.tables import write_csv

__all__ = ["CloseTexts", "Inspection"]

_SHOWN = 20  # rows of what may be endless, on the terminal
_CLASSES = 40  # the same of classes
_NAMES = 12  # in one line
_ON_PAGE = 2_000  # rows, above which a browser becomes slow; the file has all


@dataclass(frozen=True)
class CloseTexts:
    """How near class names lie to each other for a CLIP.

    Attributes:
        texts: which texts, and for which CLIP.
        pairs: two names and the cosine of their texts, the nearest first.
        median: over all pairs.
        least: the cosine from which two names are called one: a tenth of the median's distance from 1.
    """

    texts: str
    pairs: Sequence[tuple[str, str, float]]
    median: float
    least: float


@dataclass(frozen=True)
class Inspection:
    """Everything that is said of a data set.

    Attributes:
        data: its name.
        parts: labelled images by split.
        counts: of every class.
        missing: which labels are unknown, and what follows for training.
        pairs: classes that come together, or avoid each other.
        names: class names that CLIP may misread.
        close: class names that lie near each other for a CLIP; None without one.
        images: what the images are like; None where they were not read.
        image_names: N names, for `images`.
        image_splits: N splits.
    """

    data: str
    parts: dict[str | None, LabelledImages]
    counts: Sequence[ClassCount]
    missing: MissingLabels
    pairs: Sequence[Pair]
    names: Sequence[NameRemark]
    close: CloseTexts | None
    images: ImageCheck | None
    image_names: Sequence[str]
    image_splits: Sequence[str | None]

    @property
    def title(self) -> str:
        """Of the page."""
        return f"What is in {self.data}"

    @property
    def lead(self) -> str:
        """One sentence."""
        return f"{len(self.image_names):,} images and {len(self.counts):,} classes, before anything is trained on them."

    def findings(self) -> list[Finding]:
        """All of it, in order."""
        return [
            self._summary(),
            Heading("Labels"),
            *self._classes(),
            *self._pairs(),
            Heading("Missing labels"),
            *self.missing.findings(),
            Heading("Images"),
            *self._images(),
            Heading("Class names"),
            *self._names(),
        ]

    def write(self, folder: Path) -> None:
        """`inspection.md` and CSV files."""
        write_text(folder / "inspection.md", f"# {self.title}\n\n" + as_markdown(self.findings()))
        write_csv(
            folder / "classes.csv",
            ["class", "present", "absent", "unknown", "share_present", "advice"],
            (
                {
                    "class": one.name,
                    "present": one.present,
                    "absent": one.absent,
                    "unknown": one.unknown,
                    "share_present": "" if math.isnan(one.share) else one.share,
                    "advice": one.advice,
                }
                for one in self.counts
            ),
        )
        pair_columns = ["first", "second", "images", "together", "expected", "correlation", "chance"]
        write_csv(folder / "pairs.csv", pair_columns, (vars(pair) for pair in self.pairs))
        self.missing.write(folder)
        write_csv(folder / "names.csv", ["name", "problem", "advice"], (vars(one) for one in self.names))
        if self.images is not None:
            unreadable = ({"image": self.image_names[i], "problem": p} for i, p in self.images.unreadable.items())
            write_csv(folder / "unreadable.csv", ["image", "problem"], unreadable)
            write_csv(
                folder / "duplicates.csv",
                ["group", "kind", "image", "split", "contradicting"],
                (
                    {
                        "group": number,
                        "kind": group.kind,
                        "image": self.image_names[index],
                        "split": self.image_splits[index] or "",
                        "contradicting": "; ".join(self._class_names(group)),
                    }
                    for number, group in enumerate(self.images.duplicates, start=1)
                    for index in group.images
                ),
            )
        if self.close is not None:
            rows = ({"first": a, "second": b, "cosine": cosine} for a, b, cosine in self.close.pairs)
            write_csv(folder / "cosines.csv", ["first", "second", "cosine"], rows)

    def _summary(self) -> Finding:
        return Lines(None, [f"{part.source}: {part.notes[0]}" for part in self.parts.values()])

    def _classes(self) -> list[Finding]:
        splits = list(self.counts[0].by_split) if self.counts else []
        columns = ("present", "absent", "unknown")
        apart = [f"{word} in {split}" for split in splits for word in columns] or list(columns)
        header = ("class", *apart, "present of known %")
        rows = [
            (
                one.name,
                *(
                    f"{n:,}"
                    for each in [*one.by_split.values()] or [(one.present, one.absent, one.unknown)]
                    for n in each
                ),
                _percent(one.share),
            )
            for one in sorted(self.counts, key=lambda one: one.present)
        ]
        by_advice: dict[str, list[str]] = {}
        for one in self.counts:
            if one.advice:
                by_advice.setdefault(one.advice, []).append(one.name)
        advice = [f"{said}: {_few(names)}" for said, names in by_advice.items()]
        return [
            *_table("Classes, the rarest first (classes.csv)", header, rows, shown=_CLASSES),
            *([Lines("Classes that need labels", advice)] if advice else []),
        ]

    def _pairs(self) -> list[Finding]:
        if not self.pairs:
            return ["No two classes come together, or avoid each other, by more than chance explains."]
        header = ("classes", "together", "if unrelated", "correlation", "chance reaches", "images")
        rows = [
            (
                f"{pair.first}, {pair.second}",
                f"{pair.together:,}",
                f"{pair.expected:,.1f}",
                f"{pair.correlation:+.2f}".replace("-", "−"),
                f"{pair.chance:.2f}",
                f"{pair.images:,}",
            )
            for pair in self.pairs
        ]
        caption = "Classes that come together, or avoid each other (−), on images where both are known (pairs.csv)"
        return _table(caption, header, rows)

    def _images(self) -> list[Finding]:
        if self.images is None:
            return ["The images were not read (--labels-only)."]
        found: list[Finding] = []
        if self.images.unreadable:
            rows = [(self.image_names[index], problem) for index, problem in self.images.unreadable.items()]
            caption = (
                f"{len(rows):,} of {self.images.checked:,} images cannot be read: mend them, name their folder with "
                "--images, or leave them out with --skip-unreadable"
            )
            found += _table(f"{caption} (unreadable.csv)", ("image", "problem"), rows, words=2)
        else:
            given = next(iter(self.parts.values())).features is not None
            said = "are features, which are compared as they are" if given else "can be read"
            found.append(f"All {self.images.checked:,} images {said}.")
        groups = self.images.duplicates
        if not groups:
            return [*found, "No image is there twice, and no two look alike, of those that can be read."]
        across = sum(one.across for one in groups)
        against = sum(bool(one.contradicting) for one in groups)
        found.append(
            Lines(
                f"{len(groups):,} groups of images that are one, or look alike (duplicates.csv)",
                [
                    f"{across:,} across splits" + (": scores on them are too good; keep each in one" if across else ""),
                    f"{against:,} with labels that contradict each other" + (": look at them first" if against else ""),
                ],
            )
        )
        images = [
            (
                ", ".join(self._name(index) for index in group.images[:3])
                + (f" and {len(group.images) - 3} more" if len(group.images) > 3 else ""),
                group.kind,
                "across splits" if group.across else "",
                ", ".join(self._class_names(group)),
            )
            for group in groups
        ]
        header = ("images", "how alike", "splits", "contradicting labels")
        return [*found, *_table("Those across splits and with contradictions first", header, images, words=4)]

    def _names(self) -> list[Finding]:
        found: list[Finding] = []
        if self.names:
            rows = [(one.name, one.problem, one.advice) for one in self.names]
            caption = "Names that CLIP is likely to misread; a run keeps its names, so change them before (names.csv)"
            found += _table(caption, ("class", "problem", "advice"), rows, words=3)
        else:
            found.append("No class name that CLIP is likely to misread.")
        if self.close is not None and self.close.pairs:
            near = [f"{a}, {b}" for a, b, cosine in self.close.pairs if cosine >= self.close.least]
            caption = (
                f"Class names by the cosine of {self.close.texts}, the nearest first; half of all pairs are above "
                f"{self.close.median:.4f} (cosines.csv)"
            )
            cosines = [(f"{a}, {b}", f"{cosine:.4f}") for a, b, cosine in self.close.pairs]
            found += _table(caption, ("classes", "cosine"), cosines, shown=10)
            if near:
                found.append(
                    Lines("One for this CLIP, ten times nearer than usual: name what tells them apart", near[:10])
                )
        return found

    def _name(self, index: int) -> str:
        split = self.image_splits[index]
        return self.image_names[index] + (f" ({split})" if split else "")

    def _class_names(self, group: Duplicates) -> list[str]:
        return [self.counts[column].name for column in group.contradicting]


def _table(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1, shown: int = _SHOWN
) -> list[Finding]:
    """A table; of a long one the terminal gets the beginning, and the page all."""
    if len(rows) <= shown:
        return [Table(caption, header, rows, words)]
    begin = f"{caption}: the first {shown} of {len(rows):,}"
    return [
        Table(begin, header, rows[:shown], words, brief=True),
        Table(caption, header, rows[:_ON_PAGE], words, long=True),
    ]


def _few(names: Sequence[str]) -> str:
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more:,} more (classes.csv)" if more > 0 else "")


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.1f}"
