"""Images with similarity maps over them, for every figure that shows where a class is seen.

Letters: R regions; region 0 is global, the others a square grid, row by row, over the whole image.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

__all__ = ["INK", "draw_bar", "draw_image", "draw_map", "grid_of"]

INK = "#1b2330"

_GREY, _CONTRAST = 0.6, 0.5  # of the copy under a map: its mean, and how far it spreads
_ALPHA = 0.6  # of the map


def grid_of(similarity: NDArray[np.float32]) -> NDArray[np.float32]:
    """The (h, h) grid of an (R,) map, without the global region."""
    side = round((len(similarity) - 1) ** 0.5)
    return similarity[1:].reshape(side, side)


def draw_image(axes: Axes, image: NDArray[np.uint8], title: str, size: float = 15) -> None:
    """Draw an (H, W, 3) uint8 image in its own proportions, with a title of that font size."""
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0), interpolation="bilinear")
    axes.set_title(title, fontsize=size, color=INK, parse_math=False)  # names are no formulas
    axes.set_axis_off()


def draw_map(
    axes: Axes,
    image: NDArray[np.uint8],
    grid: NDArray[np.float32],
    limits: tuple[float, float],
    title: str,
    size: float = 15,
) -> AxesImage:
    """Draw a map over a pale grey copy of its image, so that colours mean the same over dark and bright parts of it.

    The colours are viridis: they rise evenly in lightness, for the colour-blind too.

    Args:
        axes: where to.
        image: (H, W, 3) uint8.
        grid: (h, w) similarities; every cell is a part of the image, stretched to its proportions.
        limits: the similarities at both ends of the colours.
        title: above it.
        size: of the title's font.
    """
    (height, width), (low, high) = image.shape[:2], limits
    grey = 255 * (_GREY - _CONTRAST / 2) + _CONTRAST * image.mean(axis=2, keepdims=True)
    draw_image(axes, np.repeat(grey, 3, axis=2).astype(np.uint8), title, size)
    return axes.imshow(
        grid, cmap="viridis", vmin=low, vmax=high, alpha=_ALPHA, extent=(0, width, height, 0), interpolation="nearest"
    )


def draw_bar(axes: Axes, mapped: AxesImage, label: str, size: float) -> None:
    """Draw the colours of a map as they are over the mean grey, what they stand for, and a label of that font size."""
    bar = axes.figure.colorbar(mapped, cax=axes)
    axes.set_facecolor(str(_GREY))
    bar.set_label(label, fontsize=size, color=INK)
    axes.tick_params(labelsize=size - 2)
