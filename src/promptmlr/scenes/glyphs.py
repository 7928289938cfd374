"""One small vector drawing per class, in the unit square (x to the right, y down).

A paint is either a fixed RGB colour or a number: that fraction of the colour of the object. The drawings are linear
in the object's colour, which lets `drawing` render each of them once and tint it later.
"""

import math
from collections.abc import Callable, Sequence
from types import MappingProxyType

from PIL import ImageDraw

from promptmlr.scenes.world import RGB

__all__ = ["GLYPHS", "Pen"]

Point = tuple[float, float]
Paint = RGB | float

BODY, SHADE, DEEP = 1.0, 0.72, 0.5
INK, PALE, WOOD, GLASS, LEAF = (44, 40, 48), (246, 242, 230), (112, 76, 50), (196, 222, 234), (84, 138, 74)


class Pen:
    """Draws in the unit square on a Pillow image of `size` pixels.

    Args:
        draw: the Pillow canvas.
        size: its height and width in pixels.
        body: the colour of the object.
    """

    def __init__(self, draw: ImageDraw.ImageDraw, size: int, body: RGB) -> None:
        self._draw, self._size, self._body = draw, size, body

    def polygon(self, points: Sequence[Point], paint: Paint) -> None:
        """Fill a polygon."""
        self._draw.polygon([(x * self._size, y * self._size) for x, y in points], fill=self._colour(paint))

    def box(self, left: float, top: float, right: float, bottom: float, paint: Paint) -> None:
        """Fill a rectangle."""
        self._draw.rectangle(self._pixels(left, top, right, bottom), fill=self._colour(paint))

    def oval(self, left: float, top: float, right: float, bottom: float, paint: Paint) -> None:
        """Fill an ellipse."""
        self._draw.ellipse(self._pixels(left, top, right, bottom), fill=self._colour(paint))

    def pie(self, box: tuple[float, float, float, float], start: float, end: float, paint: Paint) -> None:
        """Fill a sector of the ellipse in `box`, from `start` to `end` in degrees, clockwise from three o'clock."""
        self._draw.pieslice(self._pixels(*box), start, end, fill=self._colour(paint))

    def ring(self, left: float, top: float, right: float, bottom: float, width: float, paint: Paint) -> None:
        """Outline an ellipse."""
        self._draw.ellipse(
            self._pixels(left, top, right, bottom), outline=self._colour(paint), width=round(width * self._size)
        )

    def line(self, points: Sequence[Point], width: float, paint: Paint) -> None:
        """Stroke a line with round joints and ends."""
        pixels = [(x * self._size, y * self._size) for x, y in points]
        stroke, colour = width * self._size, self._colour(paint)
        self._draw.line(pixels, fill=colour, width=round(stroke))
        for x, y in pixels:
            self._draw.ellipse((x - stroke / 2, y - stroke / 2, x + stroke / 2, y + stroke / 2), fill=colour)

    def _pixels(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        return left * self._size, top * self._size, right * self._size, bottom * self._size

    def _colour(self, paint: Paint) -> RGB:
        if isinstance(paint, tuple):
            return paint
        red, green, blue = (round(paint * channel) for channel in self._body)
        return red, green, blue


def _tree(pen: Pen) -> None:
    pen.box(0.43, 0.62, 0.57, 0.98, WOOD)
    pen.oval(0.08, 0.30, 0.56, 0.74, SHADE)
    pen.oval(0.44, 0.30, 0.92, 0.74, SHADE)
    pen.oval(0.22, 0.03, 0.78, 0.58, BODY)
    pen.oval(0.16, 0.34, 0.54, 0.66, BODY)


def _house(pen: Pen) -> None:
    pen.box(0.68, 0.10, 0.79, 0.40, WOOD)
    pen.box(0.14, 0.44, 0.86, 0.97, BODY)
    pen.polygon([(0.02, 0.48), (0.50, 0.04), (0.98, 0.48)], DEEP)
    pen.box(0.42, 0.66, 0.60, 0.97, WOOD)
    pen.box(0.20, 0.56, 0.36, 0.72, GLASS)
    pen.box(0.66, 0.56, 0.80, 0.72, GLASS)


def _cloud(pen: Pen) -> None:
    pen.oval(0.02, 0.44, 0.42, 0.80, SHADE)
    pen.oval(0.56, 0.42, 0.98, 0.80, SHADE)
    pen.box(0.20, 0.58, 0.78, 0.80, SHADE)
    pen.oval(0.10, 0.34, 0.50, 0.72, BODY)
    pen.oval(0.28, 0.20, 0.72, 0.70, BODY)
    pen.oval(0.52, 0.36, 0.90, 0.72, BODY)


def _car(pen: Pen) -> None:
    pen.polygon([(0.20, 0.50), (0.32, 0.27), (0.68, 0.27), (0.82, 0.50)], SHADE)
    pen.polygon([(0.28, 0.49), (0.36, 0.33), (0.48, 0.33), (0.48, 0.49)], GLASS)
    pen.polygon([(0.53, 0.49), (0.53, 0.33), (0.65, 0.33), (0.73, 0.49)], GLASS)
    pen.polygon([(0.02, 0.72), (0.04, 0.52), (0.86, 0.48), (0.98, 0.58), (0.98, 0.72)], BODY)
    for x in (0.25, 0.75):
        pen.oval(x - 0.13, 0.59, x + 0.13, 0.85, INK)
        pen.oval(x - 0.06, 0.66, x + 0.06, 0.78, PALE)


def _flower(pen: Pen) -> None:
    pen.line([(0.50, 0.45), (0.50, 0.97)], 0.05, LEAF)
    pen.polygon([(0.50, 0.88), (0.74, 0.62), (0.68, 0.82)], LEAF)
    pen.polygon([(0.50, 0.92), (0.26, 0.70), (0.34, 0.86)], LEAF)
    for k in range(6):
        x, y = 0.50 + 0.20 * math.cos(k * math.pi / 3), 0.31 + 0.20 * math.sin(k * math.pi / 3)
        pen.oval(x - 0.125, y - 0.125, x + 0.125, y + 0.125, BODY if k % 2 else SHADE)
    pen.oval(0.39, 0.20, 0.61, 0.42, (244, 206, 84))


def _fish(pen: Pen) -> None:
    pen.polygon([(0.70, 0.50), (0.98, 0.24), (0.92, 0.50), (0.98, 0.76)], SHADE)
    pen.polygon([(0.32, 0.34), (0.50, 0.12), (0.62, 0.36)], SHADE)
    pen.oval(0.02, 0.26, 0.80, 0.74, BODY)
    pen.pie((0.20, 0.32, 0.56, 0.68), -50, 50, SHADE)
    pen.oval(0.13, 0.38, 0.23, 0.48, PALE)
    pen.oval(0.16, 0.41, 0.21, 0.46, INK)


def _boat(pen: Pen) -> None:
    pen.line([(0.50, 0.06), (0.50, 0.68)], 0.04, WOOD)
    pen.polygon([(0.53, 0.06), (0.53, 0.62), (0.90, 0.62)], PALE)
    pen.polygon([(0.47, 0.16), (0.47, 0.62), (0.16, 0.62)], GLASS)
    pen.polygon([(0.02, 0.68), (0.98, 0.68), (0.82, 0.94), (0.18, 0.94)], BODY)
    pen.polygon([(0.05, 0.74), (0.94, 0.74), (0.91, 0.80), (0.09, 0.80)], SHADE)


def _bird(pen: Pen) -> None:
    pen.polygon([(0.62, 0.52), (0.98, 0.38), (0.90, 0.60)], SHADE)
    pen.oval(0.22, 0.38, 0.76, 0.74, BODY)
    pen.oval(0.08, 0.24, 0.38, 0.54, BODY)
    pen.polygon([(0.11, 0.34), (0.00, 0.42), (0.11, 0.45)], (236, 160, 50))
    pen.polygon([(0.34, 0.50), (0.62, 0.06), (0.66, 0.56)], DEEP)
    pen.line([(0.44, 0.72), (0.42, 0.90)], 0.03, (236, 160, 50))
    pen.line([(0.56, 0.72), (0.56, 0.90)], 0.03, (236, 160, 50))
    pen.oval(0.17, 0.32, 0.23, 0.38, INK)


def _star(pen: Pen) -> None:
    radii = (0.49, 0.20)
    angles = [k * math.pi / 5 - math.pi / 2 for k in range(10)]
    points = [(0.5 + radii[k % 2] * math.cos(a), 0.52 + radii[k % 2] * math.sin(a)) for k, a in enumerate(angles)]
    pen.polygon(points, BODY)
    for k in range(0, 10, 2):
        pen.polygon([points[k], points[(k + 1) % 10], (0.5, 0.52)], SHADE)


def _cat(pen: Pen) -> None:
    pen.polygon([(0.12, 0.50), (0.14, 0.06), (0.44, 0.28)], SHADE)
    pen.polygon([(0.88, 0.50), (0.86, 0.06), (0.56, 0.28)], SHADE)
    pen.oval(0.08, 0.20, 0.92, 0.92, BODY)
    for x in (0.32, 0.68):
        pen.oval(x - 0.09, 0.42, x + 0.09, 0.58, (206, 220, 110))
        pen.oval(x - 0.03, 0.42, x + 0.03, 0.58, INK)
    pen.polygon([(0.44, 0.64), (0.56, 0.64), (0.50, 0.71)], (222, 130, 140))
    for y in (0.66, 0.74):
        pen.line([(0.36, 0.70), (0.04, y)], 0.016, PALE)
        pen.line([(0.64, 0.70), (0.96, y)], 0.016, PALE)


def _dog(pen: Pen) -> None:
    pen.oval(0.16, 0.10, 0.84, 0.84, BODY)
    pen.oval(0.02, 0.14, 0.28, 0.72, DEEP)
    pen.oval(0.72, 0.14, 0.98, 0.72, DEEP)
    pen.oval(0.30, 0.48, 0.70, 0.94, PALE)
    for x in (0.36, 0.64):
        pen.oval(x - 0.06, 0.32, x + 0.06, 0.44, INK)
    pen.oval(0.40, 0.52, 0.60, 0.66, INK)
    pen.pie((0.40, 0.66, 0.60, 0.92), 0, 180, (222, 110, 120))


def _cup(pen: Pen) -> None:
    pen.ring(0.58, 0.32, 0.98, 0.74, 0.08, SHADE)
    pen.polygon([(0.08, 0.22), (0.76, 0.22), (0.68, 0.88), (0.16, 0.88)], BODY)
    pen.polygon([(0.58, 0.22), (0.76, 0.22), (0.68, 0.88), (0.54, 0.88)], SHADE)
    pen.oval(0.08, 0.12, 0.76, 0.32, PALE)
    pen.oval(0.13, 0.15, 0.71, 0.29, WOOD)


def _chair(pen: Pen) -> None:
    pen.box(0.20, 0.03, 0.30, 0.97, SHADE)
    pen.box(0.20, 0.05, 0.74, 0.14, SHADE)
    pen.box(0.64, 0.03, 0.74, 0.60, SHADE)
    pen.box(0.34, 0.14, 0.40, 0.56, BODY)
    pen.box(0.52, 0.14, 0.58, 0.56, BODY)
    pen.polygon([(0.18, 0.54), (0.76, 0.54), (0.88, 0.68), (0.28, 0.68)], BODY)
    pen.box(0.28, 0.68, 0.38, 0.97, DEEP)
    pen.box(0.78, 0.66, 0.88, 0.97, DEEP)


def _butterfly(pen: Pen) -> None:
    for flip in (False, True):
        for x0, y0, x1, y1, paint in (
            (0.02, 0.10, 0.49, 0.56, BODY),
            (0.12, 0.48, 0.49, 0.90, SHADE),
            (0.12, 0.20, 0.32, 0.40, PALE),
            (0.22, 0.60, 0.36, 0.74, INK),
        ):
            left, right = (1 - x1, 1 - x0) if flip else (x0, x1)
            pen.oval(left, y0, right, y1, paint)
    pen.oval(0.45, 0.20, 0.55, 0.86, INK)
    pen.line([(0.50, 0.24), (0.38, 0.06)], 0.02, INK)
    pen.line([(0.50, 0.24), (0.62, 0.06)], 0.02, INK)


def _moon(pen: Pen) -> None:
    bow = [math.radians(degrees) for degrees in range(50, 311, 10)]
    outer = [(0.56 + 0.46 * math.cos(a), 0.50 + 0.46 * math.sin(a)) for a in bow]
    inner = [(0.80 + 0.40 * math.cos(a), 0.50 + 0.36 * math.sin(a)) for a in reversed(bow)]
    pen.polygon([*outer, *(point for point in inner if point[0] < 0.86)], BODY)
    pen.oval(0.18, 0.36, 0.28, 0.46, SHADE)
    pen.oval(0.24, 0.60, 0.36, 0.72, SHADE)


def _clock(pen: Pen) -> None:
    pen.oval(0.03, 0.03, 0.97, 0.97, BODY)
    pen.oval(0.13, 0.13, 0.87, 0.87, PALE)
    for k in range(12):
        x, y = math.cos(k * math.pi / 6), math.sin(k * math.pi / 6)
        pen.line([(0.5 + 0.29 * x, 0.5 + 0.29 * y), (0.5 + 0.33 * x, 0.5 + 0.33 * y)], 0.03, INK)
    pen.line([(0.50, 0.50), (0.50, 0.24)], 0.05, INK)
    pen.line([(0.50, 0.50), (0.68, 0.60)], 0.05, INK)


def _umbrella(pen: Pen) -> None:
    pen.line([(0.50, 0.04), (0.50, 0.88)], 0.04, WOOD)
    pen.line([(0.50, 0.88), (0.56, 0.95), (0.64, 0.92), (0.66, 0.84)], 0.04, WOOD)
    pen.pie((0.02, 0.08, 0.98, 1.00), 180, 360, BODY)
    pen.pie((0.34, 0.08, 0.66, 1.00), 180, 360, SHADE)


def _balloon(pen: Pen) -> None:
    pen.line([(0.50, 0.70), (0.46, 0.80), (0.54, 0.90), (0.49, 0.98)], 0.025, INK)
    pen.polygon([(0.43, 0.75), (0.57, 0.75), (0.50, 0.66)], SHADE)
    pen.oval(0.19, 0.02, 0.81, 0.71, BODY)
    pen.oval(0.29, 0.12, 0.43, 0.32, PALE)


def _mushroom(pen: Pen) -> None:
    pen.polygon([(0.38, 0.50), (0.62, 0.50), (0.68, 0.96), (0.32, 0.96)], PALE)
    pen.pie((0.03, 0.06, 0.97, 1.00), 180, 360, BODY)
    pen.oval(0.03, 0.46, 0.97, 0.60, SHADE)
    for x, y, radius in ((0.30, 0.34, 0.07), (0.55, 0.22, 0.08), (0.76, 0.38, 0.06)):
        pen.oval(x - radius, y - radius, x + radius, y + radius, PALE)


def _bicycle(pen: Pen) -> None:
    for x in (0.22, 0.78):
        pen.ring(x - 0.21, 0.44, x + 0.21, 0.86, 0.05, INK)
    pen.line([(0.22, 0.65), (0.36, 0.36), (0.66, 0.36), (0.50, 0.65), (0.22, 0.65)], 0.055, BODY)
    pen.line([(0.36, 0.36), (0.50, 0.65)], 0.055, BODY)
    pen.line([(0.78, 0.65), (0.64, 0.22), (0.76, 0.20)], 0.055, BODY)
    pen.line([(0.27, 0.30), (0.43, 0.30)], 0.06, INK)


GLYPHS: MappingProxyType[str, Callable[[Pen], None]] = MappingProxyType(
    {
        "tree": _tree,
        "house": _house,
        "cloud": _cloud,
        "car": _car,
        "flower": _flower,
        "fish": _fish,
        "boat": _boat,
        "bird": _bird,
        "star": _star,
        "cat": _cat,
        "dog": _dog,
        "cup": _cup,
        "chair": _chair,
        "butterfly": _butterfly,
        "moon": _moon,
        "clock": _clock,
        "umbrella": _umbrella,
        "balloon": _balloon,
        "mushroom": _mushroom,
        "bicycle": _bicycle,
    }
)
"""Class name → the function that draws it."""
