"""Pictures of results: mAP with intervals, predictions beside the truth, and maps over images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from promptmlr.demo.comparison import Row, best_of
from promptmlr.labels import PRESENT, Labels
from promptmlr.report.figures import image_png
from promptmlr.report.findings import MARKS, Card, Mark
from promptmlr.report.overlays import INK, draw_bar, draw_image, draw_map, grid_of

__all__ = ["COLOURS", "Example", "example_card", "interval_chart", "maps_figure"]

THRESHOLD = 0.5
_LINES = 6  # of labels under an image

_FAINT, _ACCENT = "#566072", "#1a5fb4"
COLOURS: dict[Mark, str] = {"right": "#1d6b3c", "wrong": "#a51d2d", "missed": "#7a4b00"}
_WORDS: dict[Mark, str] = {"right": "", "wrong": ", not there", "missed": ", missed"}


@dataclass(frozen=True, eq=False)
class Example:
    """A test image with the output of a recognizer.

    Attributes:
        image: (S, S, 3) uint8.
        labels: (C,) int8.
        probabilities: (C,) float32, of presence.
        presence: (C, R) float32, presence map; region 0 is global, the others a square grid, row by row.
        absence: (C, R) float32, absence map.
    """

    image: NDArray[np.uint8]
    labels: Labels
    probabilities: NDArray[np.float32]
    presence: NDArray[np.float32]
    absence: NDArray[np.float32]

    @property
    def shown_class(self) -> int:
        """The class whose maps are shown: of those present, the one with the highest probability."""
        return int(np.where(self.labels == PRESENT, self.probabilities, -1).argmax())

    def marks(self) -> list[tuple[Mark, int]]:
        """Every class that is predicted or there, the most probable first, and what became of it."""
        marks: list[tuple[Mark, int]] = []
        for index in np.argsort(-self.probabilities, kind="stable"):
            predicted, present = self.probabilities[index] > THRESHOLD, self.labels[index] == PRESENT
            if predicted or present:
                marks.append(("right" if predicted and present else "wrong" if predicted else "missed", int(index)))
        return marks

    def line(self, mark: Mark, index: int, class_names: Sequence[str]) -> str:
        """A class, its probability, and what became of it, in words."""
        return f"{class_names[index]} {self.probabilities[index]:.2f}{_WORDS[mark]}"


def example_card(example: Example, class_names: Sequence[str]) -> Card:
    """An image with its true and its predicted labels."""
    truth = _names(example.labels == PRESENT, class_names)
    return Card(
        image_png(example.image),
        f"Drawn scene with: {truth}.",
        f"There: {truth}",
        [(mark, example.line(mark, index, class_names)) for mark, index in example.marks()],
    )


def interval_chart(rows: Sequence[Row]) -> Figure:
    """The mAP of every row with its interval, from top to bottom; the best row stands out."""
    figure = Figure(figsize=(7, 0.36 * len(rows) + 0.8), layout="constrained")
    axes = figure.subplots()
    best = best_of(rows)
    for height, row in enumerate(rows):
        low, high = (100 * end for end in row.evaluation.mean_ap_interval)
        colour = _ACCENT if row is best else INK
        axes.plot([low, high], [height, height], color=colour, linewidth=6, alpha=0.3, solid_capstyle="butt")
        axes.plot(100 * row.evaluation.mean_ap, height, "o", color=colour, markersize=8)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=12)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("mAP, %", fontsize=12)
    axes.grid(axis="x", color="#e3e7ed")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def maps_figure(examples: Sequence[Example], class_names: Sequence[str]) -> Figure:
    """A column for each example: the image, what became of its labels, presence and absence map of one class over it.

    All maps share one colour scale.
    """
    lines = [_lines(example, class_names) for example in examples]
    most = max(map(len, lines))
    heights, widths = (1, 0.04 + 0.1 * most, 1, 1), (*(1,) * len(examples), 0.05)
    figure = Figure(figsize=(3.1 * len(examples) + 0.8, 3.3 * sum(heights)))
    cells = figure.add_gridspec(4, len(examples) + 1, height_ratios=heights, width_ratios=widths)
    cells.update(left=0.01, right=0.94, top=0.97, bottom=0.01, wspace=0.09, hspace=0.11)
    grids = [grid_of(side[example.shown_class]) for example in examples for side in (example.presence, example.absence)]
    limits = float(np.min(grids)), float(np.max(grids))
    for column, example in enumerate(examples):
        image, text, presence, absence = (figure.add_subplot(cells[row, column]) for row in range(4))
        draw_image(image, example.image, f"there: {_names(example.labels == PRESENT, class_names)}")
        _write(text, lines[column], most)
        name = class_names[example.shown_class]
        draw_map(presence, example.image, grids[2 * column], limits, f"presence of “{name}”")
        mapped = draw_map(absence, example.image, grids[2 * column + 1], limits, f"absence of “{name}”")
    draw_bar(figure.add_subplot(cells[2:, -1]), mapped, "similarity of region and class", 14)
    return figure


def _lines(example: Example, class_names: Sequence[str]) -> list[tuple[str, str]]:
    """What became of the labels of an example, line by line, each with its colour."""
    marks = example.marks()
    lines = [(f"{MARKS[mark]} {example.line(mark, index, class_names)}", COLOURS[mark]) for mark, index in marks]
    if len(lines) > _LINES:
        lines[_LINES - 1 :] = [(f"… and {len(lines) - _LINES + 1} more", _FAINT)]
    return lines


def _write(axes: Axes, lines: Sequence[tuple[str, str]], most: int) -> None:
    """Write lines from the top of axes that hold `most` of them."""
    for place, (line, colour) in enumerate(lines):
        axes.text(0, 1.2 - place / most, line, va="top", fontsize=14, color=colour, transform=axes.transAxes)
    axes.set_axis_off()


def _names(chosen: NDArray[np.bool_], class_names: Sequence[str]) -> str:
    return ", ".join(name for name, there in zip(class_names, chosen, strict=True) if there) or "nothing"
