"""The page that `promptmlr demo` writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from promptmlr.demo.comparison import DIFFERENCE_HEADER, HEADER, Row, best_of
from promptmlr.demo.comparison import Finding as Answer
from promptmlr.demo.figures import Example, example_card, interval_chart
from promptmlr.labels import ABSENT, PRESENT, Labels
from promptmlr.report.figures import figure_png
from promptmlr.report.findings import Cards, Code, Finding, Heading, Lines, Picture, Table
from promptmlr.report.page import as_page

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
    findings: Sequence[Answer]
    shown: Row
    examples: Sequence[Example]
    maps: bytes
    versions: dict[str, str]
    page: Path
    seconds: float


def demo_page(result: DemoResult) -> str:
    """The page."""
    best = best_of(result.rows)
    return as_page(
        "What a tenth of the labels teaches",
        f"Every method, with both initial values if it learns embeddings, trained on the same "
        f"{len(result.train_labels):,} drawn scenes with nine out of ten labels hidden, and scored on "
        f"{len(result.test_labels):,} others whose labels are all known. Best here: {best.name}, with a mAP of "
        f"{100 * best.evaluation.mean_ap:.1f} %.",
        [
            *_what_was_done(result),
            *_scores(result),
            *_differences(result),
            *_predictions(result),
            Heading("Your own photos"),
            "A CSV with a column image and one column per class is enough: 1 present, 0 absent, blank unknown. An "
            "optional column split (train or test) marks the rows for scoring.",
            Code(NEXT_STEPS),
            f"This page: promptmlr demo --seed {result.seed}, {result.epochs} epochs; "
            + ", ".join(f"{name} {version}" for name, version in result.versions.items())
            + ".",
        ],
    )


def _what_was_done(result: DemoResult) -> list[Finding]:
    labels = result.train_labels
    present, absent = (int(np.count_nonzero(labels == code)) for code in (PRESENT, ABSENT))
    return [
        Heading("What was done"),
        f"The scenes are drawn: {len(result.class_names)} classes, common and rare ones, several in a picture, with "
        "clutter and with the grain of a camera in poor light. A miniature CLIP, pretrained on other drawn scenes with "
        "captions and without that grain, encodes each scene once into regions: a grid, and one for the whole picture. "
        "It stays frozen; a method only learns to score the presence and the absence of each class.",
        f"Of {labels.size:,} training labels, {present + absent:,} are observed: {present:,} present and {absent:,} "
        "absent ones. All others are unknown, which does not mean absent: they change neither loss nor gradient. Every "
        "method has the same labels, the same order of scenes, and the default recipe.",
        Lines(None, METHODS_IN_WORDS),
        "The initial value of a learned embedding is either agnostic (the text “a photo.”, the same for every class) "
        "or the text of its class (“a photo of a tree.”). Both are shown; otherwise the table would attribute to "
        "prompts what is an effect of the initial value.",
    ]


def _scores(result: DemoResult) -> list[Finding]:
    chance = float((result.test_labels == PRESENT).mean())
    best = best_of(result.rows)
    return [
        Heading("How good they are"),
        Table(
            "mAP on the test scenes with a 95 % bootstrap interval; learned numbers; seconds to train on one core.",
            HEADER,
            [row.cells() for row in result.rows],
            words=2,
            strong=[list(result.rows).index(best)],
        ),
        Picture(
            lambda: figure_png(interval_chart(result.rows), 1400),
            alt="mAP and interval of every row of the table above, as dots and bars.",
            caption=f"Dots: mAP; bars: 95 % interval; blue: the best row. A ranking at random would reach about "
            f"{100 * chance:.1f} %, the share of labels that are present.",
        ),
    ]


def _differences(result: DemoResult) -> list[Finding]:
    found: list[Finding] = [
        Heading("Differences"),
        "Overlapping intervals do not mean that two rows are equally good, because all rows are scored on the same "
        "scenes. So the differences themselves are resampled, scene by scene. A difference whose interval contains 0 "
        "is within noise.",
    ]
    for one in result.findings:
        pairs = [pair.cells() for pair in one.differences]
        table = Table("Row minus reference, in points of mAP.", DIFFERENCE_HEADER, pairs, words=2)
        found += [Heading(one.question, level=3), one.answer, table]
    return [*found, CAVEAT]


def _predictions(result: DemoResult) -> list[Finding]:
    return [
        Heading("Predictions for new scenes"),
        f"The first test scenes with several classes, and the predictions of {result.shown.name}, the best trained "
        "row: ✓ predicted and there, ✗ predicted but not there, ○ there but missed. A class is predicted if its "
        "probability, the number beside it, is above 0.5.",
        Cards([example_card(example, result.class_names) for example in result.examples]),
        Heading("Similarity maps"),
        Picture(
            lambda: result.maps,
            alt="Four test scenes with their labels, each with the presence and the absence map of one of its classes.",
            caption="The first of these scenes with their predictions. Below, the similarity of each region to the "
            "presence and to the absence of one class: of the classes present, the one with the highest probability. "
            "All maps have the same colour scale; the region of the whole picture is left out.",
            least=36,
        ),
    ]
