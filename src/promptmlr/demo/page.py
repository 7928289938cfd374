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
    "Read this with care: one drawn world, one mask, one seed. The intervals cover only the choice of test scenes; "
    "about one in twenty misses the true value by chance, and the best row is chosen on the scenes that score it."
)

NEXT_STEPS = (
    "promptmlr train labels.csv --out runs/mine",
    "promptmlr evaluate runs/mine labels.csv",
    "promptmlr predict runs/mine photos/ --out predictions.csv",
)

METHODS_IN_WORDS = (
    "zeroshot: CLIP's own text features; nothing is learned.",
    "anchored: a learned embedding for presence and one for absence, with CLIP's own text features as prior.",
    "baseline: two linear layers on the regions; no text.",
    "dualcoop: a learned prompt for presence and one for absence.",
    "positivecoop: a learned prompt for presence, a learned embedding for absence.",
    "negativecoop: a learned embedding for presence, a learned prompt for absence.",
    "dualembedding: a learned embedding for presence and one for absence; no text tower in training.",
)


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the page reports.

    Attributes:
        seed: of the mask and of random initial values.
        epochs: of training.
        class_names: C names.
        train_labels: (N, C) int8, as training saw them.
        test_labels: (N', C) int8.
        rows: one for each method and start.
        findings: conclusions from their differences.
        shown: the best of the trained rows.
        examples: test scenes with its predictions.
        maps: PNG of the maps of some of them.
        versions: of the libraries that the result may depend on.
        page: where `index.html` is written.
        seconds: from the first scene to the page.
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
        f"Every method, with both initial values if it learns embeddings, trained on the same "
        f"{len(result.train_labels):,} drawn scenes with nine out of ten labels hidden, and scored on "
        f"{len(result.test_labels):,} others whose labels are all known. Best here: {best.name}, with a mAP of "
        f"{100 * best.evaluation.mean_ap:.1f} %.",
    )
    _what_was_done(report, result)
    _scores(report, result)
    _differences(report, result)
    _predictions(report, result)
    report.section("Your own photos")
    report.paragraph(
        "A CSV with a column image and one column per class is enough: 1 present, 0 absent, blank unknown. An optional "
        "column split (train or test) marks the rows for scoring."
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
        f"The scenes are drawn: {len(result.class_names)} classes, common and rare ones, several in a picture, with "
        "clutter and with the grain of a camera in poor light. A miniature CLIP, pretrained on other drawn scenes with "
        "captions and without that grain, encodes each scene once into regions: a grid, and one for the whole picture. "
        "It stays frozen; a method only learns to score the presence and the absence of each class."
    )
    report.paragraph(
        f"Of {labels.size:,} training labels, {present + absent:,} are observed: {present:,} present and {absent:,} "
        "absent ones. All others are unknown, which does not mean absent: they change neither loss nor gradient. Every "
        "method has the same labels, the same order of scenes, and the default recipe."
    )
    report.bullets(METHODS_IN_WORDS)
    report.paragraph(
        "The initial value of a learned embedding is either agnostic (the text “a photo.”, the same for every class) "
        "or the text of its class (“a photo of a tree.”). Both are shown; otherwise the table would attribute to "
        "prompts what is an effect of the initial value."
    )


def _scores(report: Report, result: DemoResult) -> None:
    chance = float((result.test_labels == PRESENT).mean())
    best = best_of(result.rows)
    report.section("How good they are")
    report.table(
        HEADER,
        [row.cells() for row in result.rows],
        caption="mAP on the test scenes with a 95 % bootstrap interval; learned numbers; seconds to train on one core.",
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
    report.section("Differences")
    report.paragraph(
        "Overlapping intervals do not mean that two rows are equally good, because all rows are scored on the same "
        "scenes. So the differences themselves are resampled, scene by scene. A difference whose interval contains 0 "
        "is within noise."
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
    report.section("Predictions for new scenes")
    report.paragraph(
        f"The first test scenes with several classes, and the predictions of {result.shown.name}, the best trained "
        "row: ✓ predicted and there, ✗ predicted but not there, ○ there but missed. A class is predicted if its "
        "probability, the number beside it, is above 0.5."
    )
    report.cards(example_card(example, result.class_names) for example in result.examples)
    report.section("Similarity maps")
    report.figure(
        result.maps,
        alt="Four test scenes with their labels, each with the presence and the absence map of one of its classes.",
        caption="The first of these scenes with their predictions. Below, the similarity of each region to the "
        "presence and to the absence of one class: of the classes present, the one with the highest probability. "
        "All maps have the same colour scale; the region of the whole picture is left out.",
        least=36,
    )
