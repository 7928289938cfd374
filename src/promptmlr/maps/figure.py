"""The paper's Figure 1: similarity maps of presence and absence over an image; and agreement per class as a chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray
from PIL import Image

from promptmlr.maps.means import Agreement
from promptmlr.report.overlays import draw_bar, draw_image, draw_map

__all__ = ["WIDTH", "Overlay", "Strip", "agreement_chart", "overlay_figure", "shown_pixels"]

WIDTH = 1400  # pixels of a picture

_PANEL = 2.7  # inches, the width of a panel
_BAR = 1.1  # inches, the width of a colour bar with its label
_SIZE = 11  # of titles
_LETTER = 0.17  # inches, the height of a line of a title
_LONGEST = 34  # letters on it
_FLATTEST, _TALLEST = 0.3, 1.6  # limits of height : width of a panel
_SHOWN = 800  # pixels, the longer side of an image in a picture
_FAINT, _PRESENT, _ABSENT = "#566072", "#1a5fb4", "#a51d2d"


@dataclass(frozen=True, eq=False)
class Overlay:
    """A map to be drawn over an image.

    Attributes:
        title: above it.
        grid: (h, h) float.
        scale: what its numbers are; maps of one scale share a colour bar.
    """

    title: str
    grid: NDArray[np.float32]
    scale: str


@dataclass(frozen=True, eq=False)
class Strip:
    """An image beside one or two overlays.

    Attributes:
        image: (H, W, 3) uint8.
        title: above the image; may hold line breaks.
        overlays: at most two.
    """

    image: NDArray[np.uint8]
    title: str
    overlays: tuple[Overlay, ...]


def shown_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of an RGB image, scaled down to at most `_SHOWN` pixels on its longer side."""
    smaller = image.copy()
    smaller.thumbnail((_SHOWN, _SHOWN), Image.Resampling.BILINEAR)
    return np.asarray(smaller)


def overlay_figure(strips: Sequence[Strip]) -> Figure:
    """Strips from top to bottom; all maps of one scale share a colour bar on the right."""
    scales = list(dict.fromkeys(overlay.scale for strip in strips for overlay in strip.overlays))
    limits = {scale: _limits(strips, scale) for scale in scales}
    titles = [[_lines(title) for title in (strip.title, *(one.title for one in strip.overlays))] for strip in strips]
    proportions = [strip.image.shape[0] / strip.image.shape[1] for strip in strips]
    panel_heights = [_PANEL * float(one) for one in np.clip(proportions, _FLATTEST, _TALLEST)]
    title_heights = [_LETTER * (max(title.count("\n") for title in row) + 2) for row in titles]
    height, width = sum(panel_heights) + sum(title_heights) + 0.15, 3 * _PANEL + 0.3 + _BAR * len(scales)
    figure = Figure(figsize=(width, height))
    top, mapped = height, dict[str, AxesImage]()
    for strip, row, panel_height, title_height in zip(strips, titles, panel_heights, title_heights, strict=True):
        top -= title_height + panel_height
        axes = [
            figure.add_axes(
                ((0.1 + column * (_PANEL + 0.1)) / width, top / height, _PANEL / width, panel_height / height)
            )
            for column in range(1 + len(strip.overlays))
        ]
        draw_image(axes[0], strip.image, row[0], _SIZE)
        for panel, overlay, title in zip(axes[1:], strip.overlays, row[1:], strict=True):
            mapped[overlay.scale] = draw_map(panel, strip.image, overlay.grid, limits[overlay.scale], title, _SIZE)
    for number, scale in enumerate(scales):
        left, long = 3 * (_PANEL + 0.1) + 0.15 + _BAR * number, min(height - title_heights[0] - 0.15, 2 * _PANEL)
        bottom = height - title_heights[0] - long
        axis = figure.add_axes((left / width, bottom / height, 0.18 / width, long / height))
        draw_bar(axis, mapped[scale], scale, 12)
    return figure


def _limits(strips: Sequence[Strip], scale: str) -> tuple[float, float]:
    grids = [overlay.grid for strip in strips for overlay in strip.overlays if overlay.scale == scale]
    return float(min(grid.min() for grid in grids)), float(max(grid.max() for grid in grids))


def _lines(title: str) -> str:
    """A title wrapped to lines of at most `_LONGEST` characters."""
    return "\n".join("\n".join(wrap(line, _LONGEST)) for line in title.splitlines())


def agreement_chart(found: Sequence[Agreement]) -> Figure:
    """Correlation of each class's presence and absence map, in images with and without the class.

    For reference, the correlation of its presence map with those of the other classes is drawn too.
    """
    names = list(dict.fromkeys(one.class_name for one in found if one.class_name is not None))
    figure = Figure(figsize=(7, 0.34 * len(names) + 1.3), layout="constrained")
    axes = figure.subplots()
    for label, colour, shift in (("present", _PRESENT, -0.14), ("absent", _ABSENT, 0.14)):
        of_label = [one for one in found if one.label == label and one.class_name is not None]
        heights = np.array([names.index(str(one.class_name)) for one in of_label]) + shift
        values = [one.quantities["correlation"] for one in of_label]
        ends = [one.low for one in values], [one.high for one in values]
        axes.hlines(heights, *ends, color=colour, linewidth=4, alpha=0.35)
        axes.plot([one.value for one in values], heights, "o", color=colour, markersize=6, label=f"class {label}")
        reference = [one.quantities["other_correlation"].value for one in of_label]
        axes.plot(reference, heights, "|", color=colour, markersize=9, label=f"other classes' maps, class {label}")
    axes.set_yticks(range(len(names)), names, fontsize=11)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.axvline(0, color=_FAINT, linewidth=0.8)
    axes.set_xlabel("correlation over regions", fontsize=11)
    axes.grid(axis="x", color="#e3e7ed")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=10)
    return figure
