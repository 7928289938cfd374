"""Scenes: sprites rendered once, then tinted and blended before a backdrop; numpy and Pillow only."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from promptmlr.scenes.glyphs import GLYPHS, Pen
from promptmlr.scenes.pasting import Box, Collage, Floats, Sprite, blend, cuts, pick
from promptmlr.scenes.world import (
    BACKDROPS,
    CLASS_NAMES,
    COLOURS,
    FREQUENCIES,
    IMAGE_SIZE,
    RGB,
    THEMES,
    WORLDS,
    World,
)

__all__ = ["DrawnWorld", "Scene", "SceneObject", "SceneWorld", "draw_scene"]

_CANVAS = 256
_WHITE = np.float32(255)
_ANGLES = (-20, -10, 0, 10, 20)
_OWN_BACKDROP = 0.7


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    Attributes:
        class_index: its place among the scene's classes.
        colour: a key of `COLOURS`; None of what has no colour of its own.
        box: left, top, right, bottom in pixels; right and bottom are exclusive.
    """

    class_index: int
    colour: str | None
    box: Box


@dataclass(frozen=True, eq=False)
class Scene:
    """A drawn image and what is in it.

    Attributes:
        image: (S, S, 3) uint8, RGB, S = `IMAGE_SIZE`.
        objects: from back to front; at least 65 % of each is in view.
        frequencies: the world's classes and how frequent each is.
    """

    image: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]
    frequencies: Mapping[str, float] = field(default_factory=lambda: FREQUENCIES)

    @property
    def labels(self) -> NDArray[np.int8]:
        """(C,) int8, complete: 1 present, 0 absent."""
        labels = np.zeros(len(self.frequencies), np.int8)
        labels[[thing.class_index for thing in self.objects]] = 1
        return labels


class SceneWorld(Protocol):
    """Where scenes come from."""

    @property
    def frequencies(self) -> Mapping[str, float]:
        """Its classes and how frequent each is."""

    def scene(self, seed: int, index: int) -> Scene:
        """Scene `index` of the series `seed`, always the same."""


@dataclass(frozen=True)
class DrawnWorld:
    """One of `WORLDS`."""

    world: World = WORLDS["usual"]

    @property
    def frequencies(self) -> Mapping[str, float]:
        """`FREQUENCIES`, in all of them."""
        return FREQUENCIES

    def scene(self, seed: int, index: int) -> Scene:
        """See `draw_scene`."""
        return draw_scene(seed, index, self.world)


def draw_scene(seed: int, index: int, world: World = WORLDS["usual"]) -> Scene:
    """Draw scene `index` of the series `seed`, independently of all other scenes.

    Args:
        seed: which series of scenes, not negative.
        index: which scene of it, not negative.
        world: how scenes are composed.
    """
    rng = np.random.default_rng([seed, index])
    theme = list(THEMES)[pick(rng, _THEME_CUTS)]
    collage = Collage(_backdrop(rng, theme))
    _scatter_clutter(rng, collage.canvas)
    objects: list[SceneObject] = []
    for class_index in _classes(rng, theme, world):
        colour = list(COLOURS)[rng.integers(len(COLOURS))]
        sprite = _random_sprite(rng, class_index, world.object_sizes)
        box = collage.paste(rng, sprite, COLOURS[colour])
        if box is not None:
            objects.append(SceneObject(class_index, colour, box))
    return Scene(collage.developed(light=rng.uniform(0.85, 1.1)), tuple(objects))


_THEME_CUTS = cuts([theme.weight for theme in THEMES.values()])
_WORLD_CUTS = cuts(list(FREQUENCIES.values()))
_THEME_CLASS_CUTS = {name: cuts([FREQUENCIES[kind] for kind in theme.classes]) for name, theme in THEMES.items()}


def _classes(rng: np.random.Generator, theme: str, world: World) -> list[int]:
    """The classes of the objects asked for; a class may come twice."""
    names = [
        THEMES[theme].classes[pick(rng, _THEME_CLASS_CUTS[theme])]
        if rng.random() < world.co_occurrence
        else CLASS_NAMES[pick(rng, _WORLD_CUTS)]
        for _ in range(1 + pick(rng, cuts(list(world.object_counts))))
    ]
    return [CLASS_NAMES.index(name) for name in names]


def _random_sprite(rng: np.random.Generator, class_index: int, sizes: tuple[int, ...]) -> Sprite:
    size, angle = sizes[rng.integers(len(sizes))], _ANGLES[rng.integers(len(_ANGLES))]
    sprite = _sprites(CLASS_NAMES[class_index], angle, sizes)[size]
    return sprite.mirrored() if rng.integers(2) else sprite


@functools.cache
def _sprites(name: str, angle: int, sizes: tuple[int, ...]) -> dict[int, Sprite]:
    """A glyph turned by `angle` degrees, at each of the sizes.

    Rendered once in black and once in white: as a drawing is linear in the object's colour, the difference is the tint.
    """
    black, white = _turned(name, (0, 0, 0), angle), _turned(name, (255, 255, 255), angle)
    return {size: _sprite(_shrunk(black, size), _shrunk(white, size)) for size in sizes}


def _sprite(black: Floats, white: Floats) -> Sprite:
    opacity = black[..., 3:] / _WHITE
    tint = (white[..., :1] - black[..., :1]) / _WHITE * opacity
    return Sprite(opacity, tint, black[..., :3] * opacity)


def _turned(name: str, body: RGB, angle: int) -> Image.Image:
    image = Image.new("RGBA", (_CANVAS, _CANVAS), (0, 0, 0, 0))
    GLYPHS[name](Pen(ImageDraw.Draw(image), _CANVAS, body))
    return image.rotate(angle, Image.Resampling.BICUBIC)


def _shrunk(image: Image.Image, size: int) -> Floats:
    return np.asarray(image.resize((size, size), Image.Resampling.BOX), np.float32)


def _backdrop(rng: np.random.Generator, theme: str) -> Floats:
    """(S, S, 3) float32: two gradients that meet at a horizon, with a texture."""
    choices = THEMES[theme].backdrops if rng.random() < _OWN_BACKDROP else tuple(BACKDROPS)
    stops = np.asarray(BACKDROPS[choices[rng.integers(len(choices))]], np.float32)
    horizon = int(rng.integers(IMAGE_SIZE // 2, IMAGE_SIZE * 7 // 8))
    rise = np.concatenate([np.linspace(0, 1, horizon), np.linspace(2, 3, IMAGE_SIZE - horizon)])
    columns = [np.interp(rise, range(4), stops[:, channel]) for channel in range(3)]
    rows = np.stack(columns, axis=-1).astype(np.float32) + rng.uniform(-10, 10, 3).astype(np.float32)
    textures = _textures()
    x, y = rng.integers(textures.shape[1] - IMAGE_SIZE, size=2)
    texture = textures[rng.integers(len(textures)), y : y + IMAGE_SIZE, x : x + IMAGE_SIZE, None]
    return np.asarray(rows[:, None] + np.float32(rng.uniform(2, 12)) * texture)


@functools.cache
def _textures() -> Floats:
    """(12, 256, 256) float32: grain, blots and stripes of unit spread."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(256), np.arange(256))
    bank = []
    for grain in (1, 2, 4, 8, 16, 32):
        noise = Image.fromarray(rng.normal(size=(256 // grain,) * 2).astype(np.float32))
        bank.append(np.asarray(noise.resize((256, 256), Image.Resampling.BICUBIC)))
    for period, angle in ((6, 0.0), (9, 1.57), (12, 0.8), (16, 2.3), (24, 0.3), (30, 1.2)):
        bank.append(np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period))
    stack = np.stack(bank)
    return np.asarray(stack / stack.std(axis=(1, 2), keepdims=True), np.float32)


def _scatter_clutter(rng: np.random.Generator, canvas: Floats) -> None:
    """Draw a few shapes that belong to no class behind the objects."""
    for _ in range(rng.integers(3, 9)):
        shape = _SHAPES[rng.integers(len(_SHAPES))]
        sprite = _clutter_sprite(shape, int(rng.integers(2, 7)) * 5, int(rng.integers(6)) * 30)
        height, width = sprite.mask.shape
        corner = int(rng.integers(IMAGE_SIZE - width + 1)), int(rng.integers(IMAGE_SIZE - height + 1))
        red, green, blue = (int(channel) for channel in rng.integers(30, 226, 3))
        blend(canvas, sprite, corner, (red, green, blue), strength=float(rng.uniform(0.35, 0.9)))


_SHAPES = ("disc", "triangle", "bar", "square", "ring", "zigzag")


@functools.cache
def _clutter_sprite(shape: str, size: int, angle: int) -> Sprite:
    image = Image.new("L", (_CANVAS, _CANVAS), 0)
    draw, s = ImageDraw.Draw(image), _CANVAS
    match shape:
        case "disc":
            draw.ellipse((0.15 * s, 0.15 * s, 0.85 * s, 0.85 * s), fill=255)
        case "triangle":
            draw.polygon([(0.5 * s, 0.1 * s), (0.9 * s, 0.8 * s), (0.1 * s, 0.8 * s)], fill=255)
        case "bar":
            draw.rectangle((0.05 * s, 0.4 * s, 0.95 * s, 0.6 * s), fill=255)
        case "square":
            draw.rectangle((0.2 * s, 0.2 * s, 0.8 * s, 0.8 * s), fill=255)
        case "ring":
            draw.ellipse((0.15 * s, 0.15 * s, 0.85 * s, 0.85 * s), outline=255, width=s // 8)
        case "zigzag":
            points = [(0.05 * s, 0.3 * s), (0.35 * s, 0.7 * s), (0.65 * s, 0.3 * s), (0.95 * s, 0.7 * s)]
            draw.line(points, fill=255, width=s // 9)
    opacity = _shrunk(image.rotate(angle, Image.Resampling.BICUBIC), size)[..., None] / _WHITE
    return Sprite(opacity, opacity, np.zeros((size, size, 3), np.float32))
