"""A grid's results for people: tables, a figure, and what to know about them."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from promptmlr.experiments.findings import Finding, Heading, Picture, Table, as_markdown
from promptmlr.experiments.grid.beside import beside_findings
from promptmlr.experiments.grid.published import SOURCE
from promptmlr.experiments.grid.results import BESIDE, Comparison, GridResults
from promptmlr.experiments.grid.uncertainty import UNDECIDED, Estimate
from promptmlr.experiments.tables import csv_text, percent_interval, signed
from promptmlr.files import write_bytes, write_text
from promptmlr.report import figure_png
from promptmlr.reporting import counted

__all__ = ["GridOutputs"]

Published = Mapping[tuple[str, float], float]

MEAN_COLUMNS = (
    *("method", "observed", "mean_ap", "low", "high", "seeds", "learned_parameters", "published"),
    *("minus_published", *BESIDE),
)
DIFFERENCE_COLUMNS = ("method", "reference", "observed", "difference", "low", "high", "p", "p_holm", "verdict")

WIDTH = 1400  # of figures, in pixels

_COLOURS = ("#1a5fb4", "#a51d2d", "#1d6b3c", "#7a4b00", "#613583", "#1b2330", "#986a44", "#26a269")


class GridOutputs:
    """Everything that is shown of a grid.

    Args:
        results: the scores.
        reference: the method that the others are compared with.
        published: the paper's scores at (method, fraction), where these are its data.
        data: what was trained and tested on, in a few words.
        remarks: paragraphs to know about these numbers, below their table.
        settings: paragraphs on how they came about, at the end.
        title: of the page.
    """

    def __init__(
        self,
        results: GridResults,
        reference: str,
        published: Published,
        data: str,
        remarks: Sequence[str] = (),
        settings: Sequence[str] = (),
        title: str = "Methods compared",
    ) -> None:
        self.results = results
        self.reference = reference
        self.published = published
        self.data = data
        self.remarks = remarks
        self.settings = settings
        self.title = title
        self.lead = f"mAP on {data}, by the share of labels that training saw."
        self.fractions: list[float | None] = [*results.observed, *([None] if len(results.observed) > 1 else [])]
        self.means = {(m, f): results.mean(m, f) for m in results.methods for f in self.fractions}
        self.comparisons = results.comparisons(reference)

    def findings(self) -> list[Finding]:
        """Both tables, the figure, and what to know about them."""
        found: list[Finding] = [
            Heading("Scores"),
            Table("mAP in percent (table.csv)", self._header("method"), self._mean_rows()),
            *self._notes(),
        ]
        if len(self.results.observed) > 1:
            alt = "mAP of every method over the share of observed labels; the tables hold the same numbers."
            caption = "Lines are means over seeds, bands their 95 % intervals."
            found.append(Picture(lambda: figure_png(self.figure(), WIDTH), alt, caption, least=34))
        if self.comparisons:
            header = self._header(f"minus {self.reference}", learned=False)
            found += [
                Heading(f"Differences to {self.reference}"),
                Table("points of mAP (differences.csv)", header, self._difference_rows()),
                self._difference_note(),
            ]
        found += beside_findings(self.results)
        if self.settings:
            found += [Heading("Settings"), *self.settings]
        return found

    def write(self, folder: Path) -> None:
        """`table.md`, `table.csv`, `differences.csv` and `figure.png`."""
        write_text(folder / "table.md", as_markdown(self.findings()))
        write_text(folder / "table.csv", csv_text(MEAN_COLUMNS, self._mean_records()))
        write_text(folder / "differences.csv", csv_text(DIFFERENCE_COLUMNS, self._difference_records()))
        write_bytes(folder / "figure.png", figure_png(self.figure(), WIDTH))

    def figure(self) -> Figure:
        """Scores over observed labels: a line per method with the band of its interval, the paper's dashed."""
        figure = Figure(figsize=(9.5, 5), layout="constrained")
        axes = figure.subplots()
        shares = [100 * fraction for fraction in self.results.observed]
        for method, colour in zip(self.results.methods, cycle(_COLOURS), strict=False):
            found = [self.means[method, fraction] for fraction in self.results.observed]
            low, value, high = ([100 * getattr(one, end) for one in found] for end in ("low", "value", "high"))
            axes.fill_between(shares, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(shares, value, "o-", color=colour, label=method)
            printed = [100 * self.published.get((method, fraction), np.nan) for fraction in self.results.observed]
            if not np.isnan(printed).all():
                axes.plot(shares, printed, "--", color=colour, linewidth=1, label=f"{method}, paper")
        axes.set_xlabel("observed labels, %")
        axes.set_ylabel("mAP, %")
        axes.grid(color="#e3e7ed")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(frameon=False, loc="outside right upper")
        return figure

    def _header(self, first: str, learned: bool = True) -> list[str]:
        shares = ["mean" if fraction is None else f"{100 * fraction:g} %" for fraction in self.fractions]
        return [first, *shares, *(["learned"] if learned else [])]

    def _mean_rows(self) -> list[list[str]]:
        rows = []
        for method, learned in zip(self.results.methods, self.results.learned, strict=True):
            cells = [_interval(self.means[method, fraction]) for fraction in self.fractions]
            rows.append([method, *cells, " to ".join(f"{count:,}" for count in sorted({min(learned), max(learned)}))])
            printed = [self._printed(method, fraction) for fraction in self.fractions]
            if any(score is not None for score in printed):
                rows.append([f"{method}, paper", *("" if s is None else f"{100 * s:.1f}" for s in printed), ""])
                ours = [self._minus_printed(method, fraction) for fraction in self.fractions]
                rows.append([f"{method}, ours − paper", *("" if d is None else signed(100 * d) for d in ours), ""])
        return rows

    def _printed(self, method: str, fraction: float | None) -> float | None:
        """The paper's score; of all fractions the mean of its cells, where it has them all."""
        shares = self.results.observed if fraction is None else [fraction]
        found = [self.published[method, share] for share in shares if (method, share) in self.published]
        return float(np.mean(found)) if len(found) == len(shares) else None

    def _minus_printed(self, method: str, fraction: float | None) -> float | None:
        printed = self._printed(method, fraction)
        return None if printed is None else self.means[method, fraction].value - printed

    def _difference_rows(self) -> list[list[str]]:
        by_place = {(found.method, found.observed): found for found in self.comparisons}
        return [
            [method, *(_difference(by_place[method, fraction]) for fraction in self.fractions)]
            for method in self.results.methods
            if method != self.reference
        ]

    def _notes(self) -> list[str]:
        seeds = self.results.seeds
        what = f"test images and {seeds} seeds" if seeds > 1 else "test images alone, as there is one seed"
        notes = [
            f"mAP in percent on {self.data}, by observed labels, with 95 % intervals over {what}. All runs share the "
            "order of images, so the intervals leave out what another order would add."
        ]
        if self.published:
            notes.append(f"“paper”: {SOURCE}; its mean is that of the cells.")
        return [*notes, *self.remarks]

    def _difference_note(self) -> str:
        return (
            f"Points of mAP, paired by seed and test image, with 95 % intervals; “higher” and “lower” hold for all "
            f"{counted(len(self.comparisons), 'comparison')} of the table together (Holm, 5 %). {UNDECIDED}."
        )

    def _mean_records(self) -> list[dict[str, object]]:
        learned: dict[tuple[str, float | None], int | str] = {}
        for method, counts in zip(self.results.methods, self.results.learned, strict=True):
            learned |= {(method, share): n for share, n in zip(self.results.observed, counts, strict=True)}
            learned[method, None] = counts[0] if len(set(counts)) == 1 else ""
        return [
            {
                "method": method,
                "observed": "mean" if fraction is None else fraction,
                "mean_ap": found.value,
                "low": found.low,
                "high": found.high,
                "seeds": found.seeds,
                "learned_parameters": learned[method, fraction],
                "published": _blank(self._printed(method, fraction)),
                "minus_published": _blank(self._minus_printed(method, fraction)),
                **self.results.mean_beside(method, fraction),
            }
            for (method, fraction), found in self.means.items()
        ]

    def _difference_records(self) -> list[dict[str, object]]:
        return [
            {
                "method": found.method,
                "reference": found.reference,
                "observed": "mean" if found.observed is None else found.observed,
                "difference": found.difference.value,
                "low": found.difference.low,
                "high": found.difference.high,
                "p": found.difference.p,
                "p_holm": found.p_holm,
                "verdict": found.verdict,
            }
            for found in self.comparisons
        ]


def _blank(value: float | None) -> float | str:
    return "" if value is None else value


def _interval(found: Estimate) -> str:
    return percent_interval(found.value, found.low, found.high)


def _difference(found: Comparison) -> str:
    difference = found.difference
    value, low, high = (signed(100 * end) for end in (difference.value, difference.low, difference.high))
    return f"{value} ({low} to {high}) {found.verdict}"
