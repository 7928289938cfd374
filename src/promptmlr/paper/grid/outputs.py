"""The report of a grid: tables, a figure, and notes on how to read them."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from promptmlr.paper.estimates import percent, spread
from promptmlr.paper.grid.figure import ALONG, scores_figure
from promptmlr.paper.grid.observed import Observed, column, kind_of
from promptmlr.paper.grid.other_metrics import other_metrics_findings
from promptmlr.paper.grid.plan import ZERO_SHOT
from promptmlr.paper.grid.published import SOURCE
from promptmlr.paper.grid.results import OTHER_METRICS, Comparison, GridResults
from promptmlr.paper.grid.unseen import HARMONIC, harmonic_mean
from promptmlr.report.figures import figure_png
from promptmlr.report.findings import Finding, Heading, Picture, Table
from promptmlr.report.outputs import Drawing, Outputs, Records
from promptmlr.report.tables import signed
from promptmlr.reporting import counted
from promptmlr.uncertainty import UNDECIDED

__all__ = ["GridOutputs"]

Published = Mapping[tuple[str, Observed], float]

MEAN_COLUMNS = (
    *("method", "observed", "mean_ap", "low", "high", "seeds", "learned_parameters", "published"),
    *("minus_published", *OTHER_METRICS, "empty_classes", "classes"),
)
DIFFERENCE_COLUMNS = (
    *("method", "reference", "observed", "difference", "low", "high", "p", "p_holm", "verdict"),
    *("empty_classes", "classes"),
)

WIDTH = 1400  # of figures, in pixels


class GridOutputs(Outputs):
    """The report of a grid.

    Args:
        results: the scores.
        reference: the method that the others are compared with; they are compared with zero-shot as well if it is in
            the grid.
        published: (method, observed) → the paper's score; empty unless these are the paper's data.
        data: what was trained and tested on, in a few words.
        remarks: paragraphs on the limits of these numbers, shown below their table.
        settings: findings on how the cells were trained, shown at the end.
        peers: what others have printed, shown before them.
        title: of the page.
        folds: of cross-validation; 1 is none.
    """

    document = "table.md"

    def __init__(
        self,
        results: GridResults,
        reference: str,
        published: Published,
        data: str,
        remarks: Sequence[str] = (),
        settings: Sequence[Finding] = (),
        title: str = "Methods compared",
        folds: int = 1,
        peers: Sequence[Finding] = (),
    ) -> None:
        self.results = results
        self.parts: dict[str, GridResults] = {"all": results, **results.groups}
        if results.groups:
            self.parts[HARMONIC] = harmonic_mean(results.groups["seen"], results.groups["unseen"])
        self.folds = folds
        self.published = published
        self.data = data
        self.remarks = remarks
        self.settings = settings
        self.peers = peers
        self.title = title
        self.along = ALONG[kind_of(results.observed)]
        self.name = results.score_name
        self.lead = f"{self.name} on {data}, by the {self.along}."
        self.observed = results.columns
        self.references = list(dict.fromkeys([reference, *([ZERO_SHOT] if ZERO_SHOT in results.methods else [])]))
        self.comparisons = {
            (name, group): part.comparisons(name) for name in self.references for group, part in self.parts.items()
        }

    def findings(self) -> list[Finding]:
        """Scores, figure, differences, other metrics and settings."""
        in_percent, points = f"{self.name} in percent", f"points of {self.name}"
        found: list[Finding] = [
            Heading("Scores"),
            *(
                Table(f"{in_percent}{self._of(group)} (table.csv)", self._header("method"), self._mean_rows(group))
                for group in self.parts
            ),
            *self._notes(),
        ]
        if len(self.results.observed) > 1:
            alt = f"{self.name} of every method by the {self.along}; the tables hold the same numbers."
            caption = "Points are means over seeds, bands or bars their 95 % intervals."
            found.append(Picture(self._picture, alt, caption, least=34))
        for reference in self.references if len(self.results.methods) > 1 else []:
            header = self._header(f"minus {reference}", learned=False)
            tables = {group: self.comparisons[reference, group] for group in self.parts}
            found += [
                Heading(f"Differences to {reference}"),
                *(
                    Table(f"{points}{self._of(group)} (differences.csv)", header, self._difference_rows(compared))
                    for group, compared in tables.items()
                ),
                self._difference_note(len(tables["all"])),
            ]
        found += [*other_metrics_findings(self.results), *self.peers]
        if self.settings:
            found += [Heading("Settings"), *self.settings]
        return found

    def files(self) -> dict[str, Records | Drawing]:
        """Scores, differences, and the figure."""
        return {
            "table.csv": Records(MEAN_COLUMNS, self._mean_records()),
            "differences.csv": Records(DIFFERENCE_COLUMNS, self._difference_records()),
            "figure.png": Drawing(scores_figure(self.results, self.published), WIDTH),
        }

    def _picture(self) -> bytes:
        return figure_png(scores_figure(self.results, self.published), WIDTH)

    def _header(self, first: str, learned: bool = True) -> list[str]:
        return [first, *map(column, self.observed), *(["learned"] if learned else [])]

    def _of(self, group: str) -> str:
        """The classes of a table, for its caption; empty if there is one group only."""
        if group == HARMONIC:
            return ", harmonic mean of seen and unseen classes"
        return f" of {group} classes" if len(self.parts) > 1 else ""

    def _mean_rows(self, group: str) -> list[list[str]]:
        rows, results = [], self.parts[group]
        for method, learned in zip(results.methods, results.learned, strict=True):
            cells = [percent(results.mean(method, seen)) for seen in self.observed]
            rows.append([method, *cells, " to ".join(f"{count:,}" for count in sorted({min(learned), max(learned)}))])
            printed = [self._printed(method, seen) if group == "all" else None for seen in self.observed]
            if any(score is not None for score in printed):
                rows.append([f"{method}, paper", *("" if s is None else f"{100 * s:.1f}" for s in printed), ""])
                ours = [self._minus_printed(method, seen) for seen in self.observed]
                rows.append([f"{method}, ours − paper", *("" if d is None else signed(100 * d) for d in ours), ""])
        return rows

    def _printed(self, method: str, observed: Observed | None) -> float | None:
        """The paper's score; for None the mean over all columns if the paper has all of them, else None."""
        columns = self.results.observed if observed is None else [observed]
        found = [self.published[method, seen] for seen in columns if (method, seen) in self.published]
        return float(np.mean(found)) if len(found) == len(columns) else None

    def _minus_printed(self, method: str, observed: Observed | None) -> float | None:
        printed = self._printed(method, observed)
        return None if printed is None else self.results.mean(method, observed).value - printed

    def _difference_rows(self, compared: Sequence[Comparison]) -> list[list[str]]:
        by_cell = {(found.method, found.observed): found for found in compared}
        return [
            [method, *(str(by_cell[method, seen]) for seen in self.observed)]
            for method in dict.fromkeys(found.method for found in compared)
        ]

    def _notes(self) -> list[str]:
        what = spread(self.results.seeds, "test images" + (" within their folds" if self.folds > 1 else ""))
        notes = [
            f"{self.name} in percent on {self.data}, by {self.along}, with 95 % intervals over {what}. All runs share "
            "the order of images, so the intervals leave out what another order would add."
        ]
        if self.folds > 1:
            notes.append(
                f"mAP is the mean over {self.folds} folds: each cell is trained {self.folds} times, on all folds but "
                "one, and scored on that one, so that every image is scored once, by a training that did not see it. "
                "F1, log loss and calibration error pool all images. No interval here includes how much other folds, "
                "or other training images, would change."
            )
        if HARMONIC in self.parts:
            notes.append(
                "Zero-shot (ZSL) in multi-label papers is the score on unseen classes alone, generalised zero-shot "
                "(GZSL) that on all classes together. The harmonic mean is of the mAP on seen and on unseen classes; "
                "its interval is over the same seeds and images."
            )
        if self.published:
            notes.append(f"“paper”: {SOURCE}; its mean is that of the cells.")
        return [*notes, *self.remarks]

    def _difference_note(self, comparisons: int) -> str:
        return (
            f"Points of {self.name}, paired by seed and test image, with 95 % intervals; “higher” and “lower” hold for "
            f"all {counted(comparisons, 'comparison')} of a table together (Holm, 5 %). {UNDECIDED}."
        )

    def _mean_records(self) -> list[dict[str, object]]:
        return [
            {
                "method": method,
                **part.record(method, seen),
                "published": self._printed(method, seen) if group == "all" else None,
                "minus_published": self._minus_printed(method, seen) if group == "all" else None,
                "classes": group,
                "empty_classes": self.results.empty_classes,
            }
            for (group, part), method, seen in product(self.parts.items(), self.results.methods, self.observed)
        ]

    def _difference_records(self) -> list[dict[str, object]]:
        return [
            {
                "method": found.method,
                "reference": found.reference,
                "observed": "mean" if found.observed is None else found.observed,
                **found.record("difference"),
                "classes": group,
                "empty_classes": self.results.empty_classes,
            }
            for (_, group), compared in self.comparisons.items()
            for found in compared
        ]
