"""Images with similarity maps over them, for all figures.

Letters: R regions; region 0 is global, the others a square grid, row by row, over the whole image; tiles come last.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

__all__ = ["INK", "draw_bar", "draw_image", "draw_map", "grid_of"]

INK = "#1b2330"

_GREY, _CONTRAST = 0.6, 0.5  # mean and range of the grey copy under a map
_ALPHA = 0.6  # of the map


def grid_of(similarity: NDArray[np.float32], tiles: int = 0) -> NDArray[np.float32]:
    """The (h, h) grid of an (R,) map, without the global region and the `tiles` regions of tiles, which come last."""
    grid = similarity[1 : len(similarity) - tiles]
    side = round(len(grid) ** 0.5)
    return grid.reshape(side, side)


def draw_image(axes: Axes, image: NDArray[np.uint8], title: str, size: float = 15) -> None:
    """Draw an (H, W, 3) uint8 image at its aspect ratio, with a title of that font size."""
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0), interpolation="bilinear")
    axes.set_title(title, fontsize=size, color=INK, parse_math=False)  # dollar signs in names are literal
    axes.set_axis_off()


def draw_map(
    axes: Axes,
    image: NDArray[np.uint8],
    grid: NDArray[np.float32],
    limits: tuple[float, float],
    title: str,
    size: float = 15,
) -> AxesImage:
    """Draw a map over a pale grey copy of its image, so that colours compare over dark and bright parts of it.

    The colour map is viridis, which is perceptually uniform, also for the colour-blind.

    Args:
        axes: to draw on.
        image: (H, W, 3) uint8.
        grid: (h, w) similarities, stretched over the image.
        limits: the similarities at both ends of the colours.
        title: above the image.
        size: font size of the title.
    """
    (height, width), (low, high) = image.shape[:2], limits
    grey = 255 * (_GREY - _CONTRAST / 2) + _CONTRAST * image.mean(axis=2, keepdims=True)
    draw_image(axes, np.repeat(grey, 3, axis=2).astype(np.uint8), title, size)
    return axes.imshow(
        grid, cmap="viridis", vmin=low, vmax=high, alpha=_ALPHA, extent=(0, width, height, 0), interpolation="nearest"
    )


def draw_bar(axes: Axes, mapped: AxesImage, label: str, size: float) -> None:
    """Draw a colour bar, as the colours look over the mean grey, with a label of that font size."""
    bar = axes.figure.colorbar(mapped, cax=axes)
    axes.set_facecolor(str(_GREY))
    bar.set_label(label, fontsize=size, color=INK)
    axes.tick_params(labelsize=size - 2)
