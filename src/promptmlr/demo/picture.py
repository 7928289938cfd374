"""The picture of the whole job: training images and their table of labels, then labels of new images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from promptmlr.demo.figures import COLOURS, Example
from promptmlr.labels import ABSENT, PRESENT, Labels
from promptmlr.report.findings import MARKS
from promptmlr.report.overlays import INK

__all__ = ["TableRows", "job_figure", "most_labelled_classes", "rows_to_show"]

_FAINT, _LINE = "#566072", "#c3cad5"
_COLUMNS = 6  # of the table
_LABELS = 4  # beside a new image
_SIZE, _HEADING = 10.5, 12  # of letters, in points


@dataclass(frozen=True, eq=False)
class TableRows:
    """Some training images and their labels.

    Attributes:
        images: K of (S, S, 3) uint8.
        labels: (K, C) int8, as training sees them.
    """

    images: Sequence[NDArray[np.uint8]]
    labels: Labels


def rows_to_show(labels: Labels, count: int) -> NDArray[np.intp]:
    """The first `count` of (N, C) labels that have a present and an absent one."""
    both = (labels == PRESENT).any(axis=1) & (labels == ABSENT).any(axis=1)
    return np.flatnonzero(both)[:count]


def most_labelled_classes(labels: Labels, count: int) -> NDArray[np.intp]:
    """The `count` classes with the most known labels in (K, C) labels, preferring present ones, in their order."""
    order = np.lexsort((-(labels == ABSENT).sum(axis=0), -(labels == PRESENT).sum(axis=0)))
    return np.sort(order[:count])


def job_figure(table: TableRows, examples: Sequence[Example], class_names: Sequence[str]) -> Figure:
    """Training images with a part of their table on the left, new images with their predicted labels on the right.

    Both sides have K rows. It is made to be read at 830 pixels.
    """
    rows = len(examples)
    figure = Figure(figsize=(8.3, 0.95 * rows + 1.15))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 8.3)
    axes.set_ylim(0.95 * rows + 1.15, 0)
    axes.set_axis_off()
    _write(axes, 0.1, 0.2, "Training images and their labels: 1, 0 or blank", size=_HEADING, weight="bold")
    _write(axes, 5.3, 0.2, "Predicted for new images", size=_HEADING, weight="bold")
    _draw_table(axes, table, class_names)
    for row, example in enumerate(examples):
        _draw_prediction(axes, 0.82 + 0.95 * row, example, class_names)
    middle = 0.8 + 0.95 * rows / 2
    axes.annotate("", (5.12, middle), (4.7, middle), arrowprops={"arrowstyle": "-|>", "lw": 2, "color": INK})
    foot = 0.95 * rows + 0.98
    _write(axes, 0.1, foot, f"{len(class_names) - _COLUMNS} more columns, {len(class_names)} in all", colour=_FAINT)
    _write(axes, 5.3, foot, "✓ right   ✗ wrong   ○ missed", colour=_FAINT)
    return figure


def _draw_table(axes: Axes, table: TableRows, class_names: Sequence[str]) -> None:
    left, top, width, height = 1.1, 0.8, 0.58, 0.95
    classes = most_labelled_classes(table.labels, _COLUMNS)
    for column, index in enumerate(classes):
        _write(axes, left + (column + 0.5) * width, top - 0.18, class_names[index], align="center", size=9)
    for row, image in enumerate(table.images):
        _draw_image(axes, 0.1, top + row * height + 0.03, image)
        for column, index in enumerate(classes):
            corner = (left + column * width, top + row * height)
            axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=_LINE))
            text = {PRESENT: "1", ABSENT: "0"}.get(int(table.labels[row, index]), "")
            _write(axes, corner[0] + width / 2, corner[1] + height / 2, text, align="center", size=13)


def _draw_prediction(axes: Axes, top: float, example: Example, class_names: Sequence[str]) -> None:
    _draw_image(axes, 5.3, top, example.image)
    marks = example.marks()[:_LABELS]
    for line, (mark, index) in enumerate(marks):
        height = top + 0.44 + 0.21 * (line - (len(marks) - 1) / 2)
        text = f"{MARKS[mark]} {class_names[index]}  {example.probabilities[index]:.2f}"
        _write(axes, 6.4, height, text, colour=COLOURS[mark])


def _draw_image(axes: Axes, left: float, top: float, image: NDArray[np.uint8]) -> None:
    axes.imshow(image, extent=(left, left + 0.89, top + 0.89, top), interpolation="bilinear", aspect="auto")


def _write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    size: float = _SIZE,
    colour: str = INK,
    align: str = "left",
    weight: str = "normal",
) -> None:
    axes.text(x, y, text, fontsize=size, color=colour, ha=align, va="center", fontweight=weight)
