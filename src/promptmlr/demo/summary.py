"""What `promptmlr demo` prints: one screen, or all tables."""

from textwrap import wrap

import numpy as np

from promptmlr.demo.comparison import DIFFERENCE_HEADER, HEADER
from promptmlr.demo.page import CAVEAT, NEXT_STEPS, DemoResult
from promptmlr.labels import PRESENT, UNKNOWN
from promptmlr.report.tables import table_lines

__all__ = ["all_lines", "screen_lines"]


def screen_lines(result: DemoResult) -> list[str]:
    """The data, the gain of labels over zero-shot, and the next steps: at most 24 lines of 80 characters."""
    rows = {row.method: row for row in result.rows}
    plain, trained = rows["zeroshot"], rows["anchored"]
    known = int(np.count_nonzero(result.train_labels != UNKNOWN))
    images = len(result.test_labels)
    compared = [
        (name, f"{100 * row.evaluation.mean_ap:.1f}", row.cells()[3])
        for name, row in (("CLIP alone, no labels", plain), (f"trained on {known:,} labels", trained))
    ]
    score = trained.evaluation
    return [
        f"{len(result.train_labels):,} drawn images with a table of {len(result.class_names)} classes: "
        f"{100 * known / result.train_labels.size:.0f} % of its cells are",
        f"filled in, the others are blank. Scored on {images:,} new images:",
        "",
        *table_lines(("", "mAP %", "95 % interval"), compared, words=1),
        "",
        "mAP is 100 if every image with a class is ranked above every image without it;",
        f"guessing gives {100 * float((result.test_labels == PRESENT).mean()):.0f}.",
        f"Of 100 labels that the trained one predicts, {100 * score.op:.0f} are right;",
        f"of 100 labels that are true, it finds {100 * score.or_:.0f} (at a probability above 0.5).",
        "",
        f"{result.page} shows images and predictions.",
        f"It compares {len(result.rows)} ways to train; `promptmlr demo --full` prints the tables.",
        f"All this took {result.seconds:.0f} s, offline.",
        *_next_steps(),
    ]


def all_lines(result: DemoResult) -> list[str]:
    """The table of all rows, conclusions from their differences, and the next steps."""
    lines = table_lines(HEADER, [row.cells() for row in result.rows], words=2)
    for finding in result.findings:
        differences = table_lines(DIFFERENCE_HEADER, [pair.cells() for pair in finding.differences], words=2)
        lines += ["", finding.question, *wrap(finding.answer, 100), *(f"  {line}" for line in differences)]
    lines += ["", *wrap(CAVEAT, 100)]
    lines += ["", f"{result.page} shows predictions and region maps; all this took {result.seconds:.0f} s."]
    return [*lines, *_next_steps()]


def _next_steps() -> list[str]:
    return ["", "On your own photos:", *(f"  {step}" for step in NEXT_STEPS)]
