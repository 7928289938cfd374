"""The page that `promptmlr demo` writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from promptmlr.demo.comparison import DIFFERENCE_HEADER, HEADER, Finding, Row, best_of
from promptmlr.demo.figures import Example, example_card, interval_chart
from promptmlr.labels import ABSENT, PRESENT, Labels
from promptmlr.report import Report, figure_png

__all__ = ["CAVEAT", "NEXT_STEPS", "DemoResult", "demo_page"]

CAVEAT = (
    "Read this with care: one drawn world, one mask, one seed. The intervals cover the choice of test scenes and "
    "nothing else; of twenty of them, about one misses by chance, and the best row is picked on the scenes that "
    "score it."
)

NEXT_STEPS = (
    "promptmlr train labels.csv --out runs/mine",
    "promptmlr evaluate runs/mine labels.csv",
    "promptmlr predict runs/mine photos/ --out predictions.csv",
)

METHODS_IN_WORDS = (
    "zeroshot: CLIP's own text features; nothing is learned.",
    "anchored: an embedding for each, held to CLIP's own text features as far as labels do not say otherwise.",
    "baseline: two linear layers on the regions; no text.",
    "dualcoop: a learned prompt for presence and one for absence.",
    "positivecoop: a learned prompt for presence, a learned embedding for absence.",
    "negativecoop: a learned embedding for presence, a learned prompt for absence.",
    "dualembedding: an embedding for each, no text encoder in training.",
)


@dataclass(frozen=True, eq=False)
class DemoResult:
    """All that the page tells of.

    Attributes:
        seed: of mask and starts.
        epochs: of training.
        class_names: C names.
        train_labels: (N, C) int8, as training saw them.
        test_labels: (N', C) int8.
        rows: one for each method and start.
        findings: what their differences say.
        shown: the best of the rows that learned.
        examples: test scenes as it sees them.
        maps: PNG of the maps of some of them.
        versions: that the result may depend on.
        page: where `index.html` is written.
        seconds: that all of it took.
    """

    seed: int
    epochs: int
    class_names: Sequence[str]
    train_labels: Labels
    test_labels: Labels
    rows: Sequence[Row]
    findings: Sequence[Finding]
    shown: Row
    examples: Sequence[Example]
    maps: bytes
    versions: dict[str, str]
    page: Path
    seconds: float


def demo_page(result: DemoResult) -> Report:
    """The page, ready to be written."""
    best = best_of(result.rows)
    report = Report(
        "What a tenth of the labels teaches",
        f"Every method, from both starts where it learns embeddings, on the same {len(result.train_labels):,} drawn "
        f"scenes with nine labels of ten hidden; scored on {len(result.test_labels):,} others whose labels are all "
        f"known. Best here: {best.name}, at a mAP of {100 * best.evaluation.mean_ap:.1f} %.",
    )
    _what_was_done(report, result)
    _scores(report, result)
    _differences(report, result)
    _predictions(report, result)
    report.section("Your own photos")
    report.paragraph(
        "A CSV with a column image and one column per class is enough: 1 present, 0 absent, blank unknown. A column "
        "split with train and test says which rows are kept for scoring."
    )
    report.code(NEXT_STEPS)
    report.paragraph(
        f"This page: promptmlr demo --seed {result.seed}, {result.epochs} epochs; "
        + ", ".join(f"{name} {version}" for name, version in result.versions.items())
        + "."
    )
    return report


def _what_was_done(report: Report, result: DemoResult) -> None:
    labels = result.train_labels
    present, absent = (int(np.count_nonzero(labels == code)) for code in (PRESENT, ABSENT))
    report.section("What was done")
    report.paragraph(
        f"The scenes are drawn: {len(result.class_names)} classes, common and rare ones, several in a picture, over "
        "clutter, with grain as of a camera in poor light. A miniature CLIP, pretrained on other drawn scenes with "
        "captions and without that grain, turns each scene once into regions: a grid, and one for the whole picture. "
        "It stays frozen; a method learns only how the presence and the absence of each class look among regions."
    )
    report.paragraph(
        f"Of {labels.size:,} training labels, {present + absent:,} are seen: {present:,} say present, {absent:,} say "
        "absent. All others are unknown, which is not absent: they change neither loss nor gradient. Every method "
        "meets the same labels, the same order of scenes, and the default recipe."
    )
    report.bullets(METHODS_IN_WORDS)
    report.paragraph(
        "Learned embeddings start either agnostic (from the text “a photo.”, the same for every class) or from the "
        "text of their class (“a photo of a tree.”). Both are shown, or the table would credit to prompts what "
        "belongs to the start."
    )


def _scores(report: Report, result: DemoResult) -> None:
    chance = float((result.test_labels == PRESENT).mean())
    best = best_of(result.rows)
    report.section("How good they are")
    report.table(
        HEADER,
        [row.cells() for row in result.rows],
        caption="mAP on the test scenes with a 95 % bootstrap interval; learned numbers; seconds of one core to train.",
        words=2,
        strong=[list(result.rows).index(best)],
    )
    report.figure(
        figure_png(interval_chart(result.rows), 1400),
        alt="mAP and interval of every row of the table above, as dots and bars.",
        caption=f"Dots: mAP; bars: 95 % interval; blue: the best row. A ranking at random would reach about "
        f"{100 * chance:.1f} %, the share of labels that are present.",
    )


def _differences(report: Report, result: DemoResult) -> None:
    report.section("What the differences say")
    report.paragraph(
        "Two intervals that overlap settle nothing: all rows meet the same easy and hard scenes. So the differences "
        "themselves are resampled, scene by scene. One whose interval holds 0 is within noise."
    )
    for finding in result.findings:
        report.subsection(finding.question)
        report.paragraph(finding.answer)
        report.table(
            DIFFERENCE_HEADER,
            [pair.cells() for pair in finding.differences],
            caption="Row minus reference, in points of mAP.",
            words=2,
        )
    report.paragraph(CAVEAT)


def _predictions(report: Report, result: DemoResult) -> None:
    report.section("What it says about new scenes")
    report.paragraph(
        f"The first test scenes with several things in them, as {result.shown.name} sees them, the best of the rows "
        "that learned: ✓ predicted and there, ✗ predicted but not there, ○ there but missed. A class is predicted "
        "where its probability, the number beside it, is above 0.5."
    )
    report.cards(example_card(example, result.class_names) for example in result.examples)
    report.section("Where it looks")
    report.figure(
        result.maps,
        alt="Four test scenes with their labels, each with the presence and the absence map of one of its classes.",
        caption="The first of these scenes again, under each its predictions; below, how similar each region is to "
        "the presence and to the absence of one class: of those there, the one the recognizer is surest of. "
        "One colour scale for all maps; the region of the whole picture is left out.",
        least=36,
    )
