"""The score of a run on labelled images, rendered as lines, JSON and a page.

Letters: N images, C classes.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.evaluation import Evaluation, evaluate
from promptmlr.features import RegionCache, open_regions
from promptmlr.files import write_text
from promptmlr.names import first_names
from promptmlr.opening import common_classes
from promptmlr.prediction import predict_together
from promptmlr.regions import FreshRegions
from promptmlr.reliability import (
    METRICS_HEADER,
    ProbabilityMetrics,
    Reliability,
    probability_metrics,
    reliability,
    reliability_figure,
)
from promptmlr.report.figures import figure_png
from promptmlr.report.findings import Finding, Heading, Lines, Picture, Table
from promptmlr.report.page import as_page
from promptmlr.report.tables import table_lines
from promptmlr.reporting import Reporter
from promptmlr.run import Run, images_sha256
from promptmlr.thresholds import check_precision
from promptmlr.top_scores import TopScores, top_scores

__all__ = ["RunScore", "score_run", "threshold_of"]


def score_run(
    run: Run,
    labelled: LabelledImages,
    *,
    precision: float | None = None,
    resamples: int = 1000,
    cache: RegionCache | None = None,
    batch_size: int | None = None,
    skip_unreadable: bool = False,
    workers: int = 2,
    reporter: Reporter | None = None,
) -> "RunScore":
    """Score a run whose backbone is loaded.

    Args:
        run: trained.
        labelled: N images and their labels; classes are matched by name.
        precision: predict labels at a threshold for this precision; None uses the run's thresholds.
        resamples: of the images, for the interval.
        cache: where regions are stored.
        batch_size: images through the tower at once; None chooses.
        skip_unreadable: leave unreadable images out instead of refusing them.
        workers: threads that decode images.
        reporter: receives progress and messages.

    Raises:
        UserError: the run knows none of the classes, has no threshold by precision, or no label is present.
    """
    reporter = reporter or Reporter()
    asked = None if precision is None else threshold_of(run, precision, reporter)
    rows, columns = common_classes(run.class_names, labelled.class_names, reporter)
    fresh = FreshRegions(run.backbone, labelled.images, workers=workers, skip_unreadable=skip_unreadable)
    readable, source = open_regions(fresh, cache, batch_size=batch_size, reporter=reporter)
    models = {"calibrated": run.calibrated, "as trained": run.recognizer, "zero-shot": run.zero_shot}
    seen = {name: model for name, model in models.items() if model is not None}
    if run.calibration is None:
        del seen["calibrated"]
    with reporter.progress("predicting") as say:
        found, rows_of = predict_together(list(seen.values()), source, progress=say)
    for error in fresh.unreadable.values():
        reporter.note(f"unreadable, left out: {error}")
    labels = labelled.labels[readable[found]][:, columns]
    given: dict[str, NDArray[np.floating]] = {
        name: probabilities[:, rows] for name, probabilities in zip(seen, rows_of, strict=True)
    }
    probabilities = next(iter(given.values()))
    if run.config.recipe.has_prior:  # its logits are not meant to be probabilities before they are scaled
        given.pop("as trained")
    own: Any = run.thresholds[rows] if run.calibration else run.config.threshold
    names = [run.class_names[row] for row in rows]
    threshold = own if asked is None else asked
    curves = {name: reliability(one, labels) for name, one in given.items()}
    return RunScore(
        evaluate(probabilities, labels, names, threshold=threshold, resamples=resamples),
        curves,
        probability_metrics(given, labels, curves),
        labelled.source,
        run.config.select,
        images_sha256(labelled.image_ids) == run.config.data.images_sha256,
        top_scores(probabilities, labels),
    )


def threshold_of(run: Run, precision: float, reporter: Reporter) -> float:
    """The threshold for a requested precision; notes the precision on held-out known labels.

    Raises:
        UserError: the precision is not a share, or the run has no thresholds by precision.
    """
    check_precision(precision)
    if run.calibration is None:
        raise UserError(
            f"run {run.path} is not calibrated (its labels are of one kind, or --no-calibrate was given), so it has no "
            "thresholds by precision; train it with --method anchored, which always has them"
        )
    point = run.calibration.threshold_of(precision)
    checked = (
        f"of {point.predicted} held-out known labels above it, {point.right} are right"
        if point.predicted
        else "no known label tells whether that holds"
    )
    if point.threshold >= 1:
        reporter.note(f"no probability is high enough for {100 * precision:g} % right labels, so nothing is labelled")
    else:
        reporter.note(f"threshold {point.threshold:.3f} for {100 * precision:g} % precision: {checked}")
    return point.threshold


@dataclass(frozen=True)
class RunScore:
    """How good a run is on labelled images.

    Attributes:
        evaluation: mAP, precision, recall and F1.
        curves: reliability of the run's probabilities, and of zero-shot for comparison.
        compared: mAP, log loss and calibration error of the same.
        source: the scored images.
        select: how the run's epoch was chosen.
        trained_on: whether these are the images that the run was trained on.
        top: F1 of the three most probable classes of each image.
    """

    evaluation: Evaluation
    curves: Mapping[str, Reliability]
    compared: list[ProbabilityMetrics]
    source: str
    select: str
    trained_on: bool
    top: TopScores

    @property
    def data(self) -> str:
        """The scored images, with a warning if they are those of training."""
        return self.source + (", the images it was trained on" if self.trained_on else "")

    def scores(self) -> list[str]:
        """Classes as a table, an empty line, then all means."""
        lines = _table(self.evaluation, self.top, self.select)
        if self.trained_on:
            lines.append("the run was trained on images of these names: its score on new ones will be lower")
        return lines

    def lines(self) -> list[str]:
        """All lines for the terminal."""
        return [*self.scores(), "", *table_lines(METRICS_HEADER, [one.cells() for one in self.compared], words=1)]

    def write(self, path: Path) -> None:
        """Write all numbers as JSON."""
        record = {
            "data": self.data,
            "select": self.select,
            "trained_on": self.trained_on,
            **self.evaluation.as_dict(),
            **asdict(self.top),
            "reliability": {name: asdict(curve) for name, curve in self.curves.items()},
            "compared": [asdict(one) for one in self.compared],
        }
        write_text(path, json.dumps(record, indent=2) + "\n")

    def write_page(self, path: Path, run: str) -> None:
        """Write a page with scores per class, the means, and the reliability diagram, all from evaluation.json."""
        lines = self.scores()
        findings: list[Finding] = [
            Lines(None, _sentences(lines[lines.index("") + 1 :])),
            Table("Compared with zero-shot (evaluation.json)", METRICS_HEADER, [one.cells() for one in self.compared]),
            Heading("Are probabilities calibrated?"),
            Picture(
                lambda: figure_png(reliability_figure(dict(self.curves)), 1000),
                alt="Share of labels present against their probability; the table below holds the same.",
                caption="Known labels in bins of their probability, with 95 % intervals; dotted: perfect calibration.",
                least=20,
            ),
            Table(
                "Bins (evaluation.json, reliability)",
                ("logits", "probability, %", "present, %", "95 % interval", "labels"),
                [
                    (
                        name,
                        f"{100 * one.probability:.1f}",
                        f"{100 * one.present:.1f}",
                        f"{100 * one.low:.1f} to {100 * one.high:.1f}",
                        f"{one.labels:,}",
                    )
                    for name, curve in self.curves.items()
                    for one in curve.bins
                ],
            ),
            Heading("Classes"),
            Table(
                "Average precision (evaluation.json)",
                ("class", "AP, %", "share present, %"),
                [
                    (name, _percent(ap).strip(), _percent(self.evaluation.prevalence[name]).strip())
                    for name, ap in self.evaluation.per_class_ap.items()
                ],
            ),
        ]
        lead = f"On {self.evaluation.images:,} images: {self.data}."
        write_text(path, as_page(f"How good {run} is", lead, findings))


def _sentences(lines: list[str]) -> list[str]:
    """The lines below the table as paragraphs, mAP first; indented lines are joined to the one above."""
    found: list[str] = []
    for line in lines:
        if line.startswith(" "):
            found[-1] += (" " if found[-1].endswith(":") else "; ") + line.strip()
        else:
            found.append(line)
    return sorted(found, key=lambda sentence: not sentence.startswith("mAP"))


def _table(result: Evaluation, top: TopScores, select: str) -> list[str]:
    width = max(map(len, ("class", *result.per_class_ap)))
    lines = [f"{'class'.ljust(width)}     AP  share present"]
    for name, ap in result.per_class_ap.items():
        lines.append(f"{name.ljust(width)}  {_percent(ap)}  {_percent(result.prevalence[name])}")
    lines.append("")
    if result.without_positive:
        lines.append(f"left out of the means, no positive label: {first_names(result.without_positive)}")
    low, high = result.mean_ap_interval
    interval = "" if math.isnan(low) else f" ({100 * low:.1f} to {100 * high:.1f}, 95 % bootstrap interval)"
    scored = [share for name, share in result.prevalence.items() if name not in result.without_positive]
    guessing = 100 * sum(scored) / len(scored)
    bound = "its class's threshold" if isinstance(result.threshold, dict) else f"{result.threshold:.3g}"
    lines.append(f"labels at a probability above {bound}, against {result.labels_used:,} known ones:")
    lines.append(
        f"  means over classes: precision CP {100 * result.cp:.1f}, recall CR {100 * result.cr:.1f}, "
        f"CF1 {100 * result.cf1:.1f} (harmonic mean of CP and CR: {100 * result.cf1_harmonic:.1f})"
    )
    lines.append(
        f"  all labels pooled: precision OP {100 * result.op:.1f}, recall OR {100 * result.or_:.1f}, "
        f"OF1 {100 * result.of1:.1f}"
    )
    lines.append(
        f"  of an image's three most probable classes, those above 0.5: CF1 {100 * top.cf1_top3:.1f} (harmonic mean), "
        f"OF1 {100 * top.of1_top3:.1f}; all three: F1 {100 * top.f1_at_3:.1f}"
    )
    lines.append(
        f"mAP {100 * result.mean_ap:.1f}{interval} on {result.images:,} images; "
        f"guessing gives {guessing:.1f}, the mean share present"
    )
    if interval:
        value, *ends = (100 * one for one in (result.population_map, *result.population_interval))
        lines.append(
            f"mAP on all images like these: about {value:.1f} ({ends[0]:.1f} to {ends[1]:.1f}); "
            "that of a small test is too high"
        )
    if select == "test":
        lines.append("epoch selected on test data: only for comparison with papers that do the same")
    return lines


def _percent(fraction: float) -> str:
    return "    -" if math.isnan(fraction) else f"{100 * fraction:5.1f}"
