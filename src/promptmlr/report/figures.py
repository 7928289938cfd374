"""Figures and images as files, and the fonts of the words in them."""

import io
import logging
import warnings
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

__all__ = ["COLOURS", "figure_jpeg", "figure_png", "image_png", "plain"]

COLOURS = ("#1a5fb4", "#a51d2d", "#1d6b3c", "#7a4b00", "#613583", "#1b2330", "#986a44", "#26a269")
"""Of lines, in the order in which they are taken."""

_FONTS = (
    *(
        "Noto Sans CJK JP",
        "Noto Sans CJK SC",
        "Noto Sans CJK KR",
        "Hiragino Sans",
        "PingFang SC",
        "Apple SD Gothic Neo",
    ),
    *("Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "Nirmala UI", "Noto Sans", "Noto Sans Arabic"),
    *("Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS", "WenQuanYi Zen Hei", "IPAGothic"),
)
"""Where letters are looked for that matplotlib's own font lacks, of those that are installed."""

_LOG = logging.getLogger(__name__)


def plain(axes: Axes, grid: Literal["both", "x"] = "both") -> None:
    """A light grid, and no frame above and to the right."""
    axes.grid(axis=grid, color="#e3e7ed")
    axes.spines[["top", "right"]].set_visible(False)


def figure_png(figure: Figure, width: int) -> bytes:
    """A matplotlib figure as PNG, `width` pixels wide."""
    return _drawn(figure, width, format="png", metadata={"Software": None})


def figure_jpeg(figure: Figure, width: int) -> bytes:
    """A matplotlib figure as JPEG, `width` pixels wide: for photographs, which take five times the bytes as PNG."""
    return _drawn(figure, width, format="jpeg", pil_kwargs={"quality": 88})


def image_png(pixels: NDArray[np.uint8]) -> bytes:
    """An (H, W, 3) uint8 image as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _drawn(figure: Figure, width: int, **options: Any) -> bytes:
    """A figure as a file; class names come in all writing systems, so fonts that hold others are tried as well."""
    installed = set(get_font_names())
    families = ["DejaVu Sans", *(name for name in _FONTS if name in installed)]
    for text in figure.findobj(Text):
        text.set_fontfamily(families)
    buffer = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(buffer, dpi=width / figure.get_figwidth(), **options)
    if any("missing from font" in str(warning.message) for warning in caught):
        _LOG.warning(
            "warning: some letters of a picture are in no installed font and drawn as boxes; install one that has "
            "them, such as Noto Sans CJK"
        )
    return buffer.getvalue()
