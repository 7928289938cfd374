"""The drawn world as data: its classes, their frequencies and co-occurrence, colours and backdrops.

The classes are long-tailed (`FREQUENCIES`) and co-occur (`THEMES`): most objects of a scene are drawn from its theme,
the rest from all classes. `WORLDS` are the same classes with other statistics.
"""

from dataclasses import dataclass
from types import MappingProxyType

__all__ = [
    "BACKDROPS",
    "CLASS_NAMES",
    "COLOURS",
    "FREQUENCIES",
    "IMAGE_SIZE",
    "THEMES",
    "WORLDS",
    "Theme",
    "World",
]

RGB = tuple[int, int, int]

IMAGE_SIZE = 128
"""Height and width of a scene in pixels."""

FREQUENCIES = MappingProxyType(
    {
        "tree": 14.0,
        "house": 10.0,
        "cloud": 10.0,
        "car": 8.0,
        "flower": 8.0,
        "fish": 7.0,
        "boat": 7.0,
        "bird": 6.0,
        "star": 6.0,
        "cat": 5.0,
        "dog": 5.0,
        "cup": 5.0,
        "chair": 4.5,
        "butterfly": 4.0,
        "moon": 4.0,
        "clock": 4.0,
        "umbrella": 3.5,
        "balloon": 3.0,
        "mushroom": 3.0,
        "bicycle": 3.0,
    }
)
"""Relative frequency of each class: a long tail, steeper once themes are chosen."""

CLASS_NAMES: tuple[str, ...] = tuple(FREQUENCIES)


@dataclass(frozen=True)
class Theme:
    """Classes that co-occur, how often the theme is drawn, and its backdrops."""

    weight: float
    classes: tuple[str, ...]
    backdrops: tuple[str, ...]


THEMES = MappingProxyType(
    {
        "street": Theme(5.0, ("house", "tree", "car", "dog", "bicycle", "cat"), ("day", "town", "dusk")),
        "garden": Theme(4.0, ("flower", "tree", "butterfly", "mushroom", "bird", "chair"), ("meadow", "day")),
        "sea": Theme(3.0, ("boat", "fish", "cloud", "bird", "umbrella"), ("water", "beach")),
        "sky": Theme(3.0, ("cloud", "star", "moon", "bird", "balloon"), ("night", "dusk", "air")),
        "room": Theme(3.0, ("cup", "cat", "chair", "clock", "dog", "flower"), ("wall", "parlour")),
    }
)

COLOURS = MappingProxyType(
    {
        "red": (204, 51, 51),
        "orange": (232, 132, 38),
        "yellow": (240, 200, 60),
        "green": (72, 150, 82),
        "blue": (56, 104, 196),
        "purple": (132, 78, 168),
        "pink": (232, 128, 168),
        "white": (240, 238, 232),
        "brown": (134, 88, 56),
        "black": (52, 50, 58),
    }
)

BACKDROPS = MappingProxyType(
    {
        "day": ((168, 206, 236), (214, 232, 240), (138, 176, 110), (112, 152, 92)),
        "town": ((206, 214, 222), (228, 226, 220), (150, 150, 154), (126, 126, 132)),
        "dusk": ((92, 92, 146), (238, 170, 138), (98, 92, 106), (72, 70, 88)),
        "meadow": ((206, 230, 236), (236, 240, 214), (158, 192, 104), (124, 166, 86)),
        "water": ((186, 214, 234), (222, 232, 236), (92, 150, 186), (50, 104, 152)),
        "beach": ((150, 202, 226), (196, 226, 226), (228, 210, 166), (210, 184, 136)),
        "night": ((24, 28, 62), (44, 48, 98), (58, 62, 112), (76, 74, 122)),
        "air": ((118, 176, 226), (162, 204, 236), (186, 216, 240), (214, 230, 244)),
        "wall": ((226, 212, 190), (218, 200, 174), (158, 118, 84), (134, 98, 70)),
        "parlour": ((176, 196, 190), (160, 184, 178), (146, 112, 104), (122, 92, 88)),
    }
)
"""Four colours from top to bottom: the first two above the horizon, the last two below."""


@dataclass(frozen=True)
class World:
    """How scenes are composed and photographed.

    Attributes:
        object_counts: probability that 1, 2, … objects are drawn; an object without free space is left out.
        object_sizes: height and width of the square that an object fills, in pixels.
        co_occurrence: share of a scene's objects that are drawn from its theme.
        grain: of the camera, a standard deviation in grey levels of 255.
    """

    object_counts: tuple[float, ...] = (0.14, 0.26, 0.28, 0.20, 0.12)
    object_sizes: tuple[int, ...] = (24, 28, 32, 38, 44, 52)
    co_occurrence: float = 0.8
    grain: float = 20.0


WORLDS = MappingProxyType(
    {
        "usual": World(),
        "crowded": World(object_counts=(0.0, 0.05, 0.10, 0.20, 0.25, 0.20, 0.20), object_sizes=(20, 24, 28, 32, 38)),
        "strangers": World(co_occurrence=0.0),
        "grainy": World(grain=35.0),
    }
)
"""The miniature CLIP was pretrained on the usual world without grain. The others test generalisation: more and smaller
objects (crowded), classes that occur independently of each other (strangers), a worse camera (grainy)."""
