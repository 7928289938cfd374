"""Figures and images as files, and their fonts."""

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
"""Colours of lines, in the order of use."""

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
"""Fallback fonts, if installed, for letters that matplotlib's own font lacks."""

_LOG = logging.getLogger(__name__)


def plain(axes: Axes, grid: Literal["both", "x"] = "both") -> None:
    """Style axes with a light grid and without the upper and the right frame."""
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
    """A figure as a file, with fallback fonts for class names in other scripts."""
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
            "warning: no installed font has some letters of a figure, so they are drawn as boxes; install one that has "
            "them, such as Noto Sans CJK"
        )
    return buffer.getvalue()
