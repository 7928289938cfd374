"""The report of methods by the number of labels: tables with means and worst cases, and a figure."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from promptmlr.paper.estimates import points
from promptmlr.paper.few_labels.running import ANCHORED, FewLabelsResults
from promptmlr.paper.grid.plan import ZERO_SHOT
from promptmlr.paper.grid.results import GridResults
from promptmlr.report.figures import COLOURS as PALETTE
from promptmlr.report.figures import figure_png, plain
from promptmlr.report.findings import Finding, Heading, Picture, Table
from promptmlr.report.outputs import Drawing, Outputs, Records
from promptmlr.report.tables import signed

__all__ = ["FewLabelsOutputs"]

WIDTH = 1500  # of the figure, in pixels
QUANTITIES = {"mean_ap": "mAP, %", "log_loss": "log loss, nats", "calibration_error": "calibration error, points"}
COLUMNS = ("world", "labels", "method", "mean_ap", "worst", "log_loss", "calibration_error")
COLOURS = {ANCHORED: "#1a5fb4", ZERO_SHOT: "#1b2330"}
OTHERS = tuple(colour for colour in PALETTE if colour not in COLOURS.values())


class FewLabelsOutputs(Outputs):
    """The report of the experiment."""

    document = "few-labels.md"

    def __init__(self, results: FewLabelsResults) -> None:
        self.results = results
        self.title = "Methods by the number of labels"
        plan = results.plan
        self.lead = (
            f"Methods compared with CLIP's zero-shot on {len(plan.worlds)} drawn worlds with {plan.seeds} masks each, "
            f"by the number of known labels of {plan.train_scenes:,} scenes of 20 classes."
        )

    def findings(self) -> list[Finding]:
        """Scores per world, differences to zero-shot and to the best other method, probabilities, and the figure."""
        plan = self.results.plan
        counts = [f"{count:,}" for count in plan.labels]
        header, worlds = ["method", *counts], ["world", *counts]
        found: list[Finding] = [Heading("mAP by the number of known labels")]
        for world, grid in self.results.known.items():
            rows = [
                [method, *(f"{100 * score:.1f}" for score in _means(grid, "mean_ap", method))]
                for method in grid.methods
            ]
            found.append(Table(f"{world}, mAP in percent, mean over masks (cells.csv)", header, rows))
        found += [
            Heading("Anchored minus zero-shot"),
            Table(
                "points of mAP: mean over masks, and the worst mask (cells.csv)",
                worlds,
                self._differences_to_zero_shot(),
            ),
            Heading("Anchored minus the best other method that is trained"),
            Table("points of mAP, with 95 % intervals over masks and test images", worlds, self._differences_to_best()),
            Heading("Probabilities"),
            Table("log loss, mean over worlds and masks (cells.csv)", header, self._pooled("log_loss", 3)),
            Table("calibration error in points (cells.csv)", header, self._pooled("calibration_error", 1)),
            Table("calibration error of anchored (zero-shot) in single worlds", worlds, self._errors()),
            "Log loss and calibration error are those of the probabilities right after training: anchored and "
            "zero-shot are calibrated on the same known labels, the other methods are not (`train` calibrates them "
            "out of fold).",
            Picture(
                lambda: figure_png(self.figure(), WIDTH), "The three quantities by number of labels.", "", least=34
            ),
        ]
        if self.results.single_positive:
            header = ["world", *(f"{count:,} images" for count in plan.single_positive_images)]
            found += [
                Heading("One tick per image and nothing else"),
                Table(
                    "anchored, mAP in percent (zero-shot; calibration error in points)",
                    header,
                    self._single_positive_rows(),
                ),
            ]
        return found

    def files(self) -> dict[str, Records | Drawing]:
        """Every cell, and the figure."""
        return {"cells.csv": Records(COLUMNS, self._records()), "few-labels.png": Drawing(self.figure(), WIDTH)}

    def figure(self) -> Figure:
        """Mean over worlds and masks, a panel per quantity; dots are anchored in single worlds."""
        figure = Figure(figsize=(13, 4.2), layout="constrained")
        grids = list(self.results.known.values())
        for axes, (quantity, label) in zip(figure.subplots(1, 3), QUANTITIES.items(), strict=True):
            factor = 1.0 if quantity == "log_loss" else 100.0
            others = cycle(OTHERS)
            for method in grids[0].methods:
                colour = COLOURS.get(method) or next(others)
                by_world = factor * np.array([_means(grid, quantity, method) for grid in grids])
                style = "--" if method == ZERO_SHOT else "-"
                axes.plot(self.results.plan.labels, by_world.mean(axis=0), f"o{style}", color=colour, label=method)
            axes.set_xscale("log")
            axes.set_xlabel("known labels")
            axes.set_ylabel(label)
            if quantity == "log_loss":
                axes.set_ylim(top=1.0)
            plain(axes)
        figure.legend(*figure.axes[0].get_legend_handles_labels(), frameon=False, loc="outside right upper")
        return figure

    def _differences_to_zero_shot(self) -> list[list[str]]:
        rows = []
        for world, grid in self.results.known.items():
            gains = 100 * (_values(grid, "mean_ap", ANCHORED) - _values(grid, "mean_ap", ZERO_SHOT))
            rows.append([world, *(f"{signed(own.mean())} (worst {signed(own.min())})" for own in gains)])
        return rows

    def _differences_to_best(self) -> list[list[str]]:
        rows = []
        for world, grid in self.results.known.items():
            others = [method for method in grid.methods if method not in (ANCHORED, ZERO_SHOT)]
            cells = []
            for seen in grid.observed if others else ():
                best = max(others, key=lambda method: grid.mean(method, seen).value)
                found = grid.contrast({ANCHORED: 1.0, best: -1.0}, seen)
                cells.append(f"{points(found)}, {best}")
            if cells:
                rows.append([world, *cells])
        return rows

    def _pooled(self, quantity: str, digits: int) -> list[list[str]]:
        grids = list(self.results.known.values())
        factor = 1.0 if quantity == "log_loss" else 100.0
        return [
            [method, *(f"{factor * value:.{digits}f}" for value in _over_worlds(grids, quantity, method))]
            for method in grids[0].methods
        ]

    def _errors(self) -> list[list[str]]:
        rows = []
        for world, grid in self.results.known.items():
            pairs = zip(*(100 * _means(grid, "calibration_error", one) for one in (ANCHORED, ZERO_SHOT)), strict=True)
            rows.append([world, *(f"{ours:.1f} ({plain:.1f})" for ours, plain in pairs)])
        return rows

    def _single_positive_rows(self) -> list[list[str]]:
        rows = []
        for world in self.results.plan.worlds:
            cells = []
            for count in self.results.plan.single_positive_images:
                grid = self.results.single_positive[world, count]
                ours, plain = (100 * _means(grid, "mean_ap", method)[0] for method in (ANCHORED, ZERO_SHOT))
                error = 100 * _means(grid, "calibration_error", ANCHORED)[0]
                cells.append(f"{ours:.1f} ({plain:.1f}; {error:.1f})")
            rows.append([world, *cells])
        return rows

    def _records(self) -> list[dict[str, object]]:
        grids = [
            (world, str(seen), grid, index)
            for world, grid in self.results.known.items()
            for index, seen in enumerate(grid.observed)
        ]
        grids += [
            (world, f"one tick, {count} images", grid, 0)
            for (world, count), grid in self.results.single_positive.items()
        ]
        return [
            {
                "world": world,
                "labels": seen,
                "method": method,
                "mean_ap": _values(grid, "mean_ap", method)[index].mean(),
                "worst": _values(grid, "mean_ap", method)[index].min(),
                "log_loss": _values(grid, "log_loss", method)[index].mean(),
                "calibration_error": _values(grid, "calibration_error", method)[index].mean(),
            }
            for world, seen, grid, index in grids
            for method in grid.methods
        ]


def _values(grid: GridResults, quantity: str, method: str) -> NDArray[np.float64]:
    """(F, K) of a method."""
    values = grid.scores if quantity == "mean_ap" else grid.other_metrics[quantity]
    found: NDArray[np.float64] = values[list(grid.methods).index(method)]
    return found


def _means(grid: GridResults, quantity: str, method: str) -> NDArray[np.float64]:
    """(F,) over seeds."""
    found: NDArray[np.float64] = _values(grid, quantity, method).mean(axis=1)
    return found


def _over_worlds(grids: Sequence[GridResults], quantity: str, method: str) -> NDArray[np.float64]:
    """(F,) over worlds and seeds."""
    found: NDArray[np.float64] = np.mean([_means(grid, quantity, method) for grid in grids], axis=0)
    return found
