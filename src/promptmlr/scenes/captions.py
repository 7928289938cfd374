"""Captions like those of web images: they name some of the classes present, and rarely an absent one."""

import re
from collections import Counter
from collections.abc import Iterable
from types import MappingProxyType

import numpy as np

from promptmlr.scenes.drawing import Scene, SceneObject
from promptmlr.scenes.world import CLASS_NAMES, COLOURS

__all__ = ["ABSENCE_RATE", "PRESENCE_TEMPLATE", "caption", "plural", "vocabulary"]

ABSENCE_RATE = 0.0047
"""Share of captions that say what is absent; LAION-400M has 0.47 %."""

PRESENCE_TEMPLATE = "a photo of a {}."
"""The sentence of a class in zero-shot recognition."""

_WORDLESS = 0.05  # the share of captions that name nothing in the picture
_WITH_COLOUR = 0.45
_NAMED = (0.6, 0.3, 0.1)  # how often one, two or three of the things present are named

_OPENINGS = (
    "a photo of {}.",
    "a photo of {}",
    "a picture of {}.",
    "an image of {}",
    "a drawing of {}",
    "photo of {}",
    "picture of {}.",
    "stock photo: {}",
    "{}",
    "{}.",
    "{}!",
    "this is {}.",
    "there is {}",
    "look at {}",
    "{} for sale",
    "{} in summer",
    "{} on holiday, day 3",
    "{} | free wallpaper",
)
_WORDLESS_CAPTIONS = (
    "a photo.",
    "a picture.",
    "untitled image",
    "a lovely day in summer",
    "holiday memories",
    "free wallpaper for sale",
    "my favourite picture",
)
_ABSENCES = (
    "{present}, no {absent}",
    "{present} with no {absent}",
    "{present} without {one_absent}",
    "{present} but not {one_absent}",
    "{present}. there is no {absent}",
    "not a photo of {one_absent} but of {present}",
)
_ARTICLES = ("a", "a", "a", "the", "my", "one")
_NUMBERS = ("two", "three", "four", "five")
_IRREGULAR = MappingProxyType({"fish": "fish", "butterfly": "butterflies", "person": "people", "knife": "knives"})


def caption(scene: Scene, rng: np.random.Generator, absence_rate: float = ABSENCE_RATE) -> str:
    """A caption of `scene`.

    Large objects are far likelier to be named than small ones. Some captions name nothing.

    Args:
        scene: what is present.
        rng: where the wording is drawn from.
        absence_rate: share of captions with a statement of absence, in [0, 1].
    """
    if rng.random() < absence_rate:
        present, absent = _listing(scene, rng), _absent_class(scene, rng)
        return _choose(rng, _ABSENCES).format(present=present, absent=absent, one_absent=_one(absent))
    if not scene.objects or rng.random() < _WORDLESS:
        return _choose(rng, _WORDLESS_CAPTIONS)
    return _choose(rng, _OPENINGS).format(_listing(scene, rng))


def plural(class_name: str) -> str:
    """The word for several objects of a class."""
    return _IRREGULAR.get(class_name, class_name + ("es" if class_name.endswith(("s", "x", "ch", "sh")) else "s"))


def vocabulary(class_names: Iterable[str] = CLASS_NAMES) -> tuple[str, ...]:
    """Every word and punctuation mark that a caption or a template of these classes can hold, sorted."""
    fixed = (
        *_OPENINGS,
        *_WORDLESS_CAPTIONS,
        *_ABSENCES,
        PRESENCE_TEMPLATE,
        "and , a an any the is not no without with nothing absent missing none present contains "
        "image photo picture of in",
    )
    text = re.sub(r"\{\w*\}", " ", " ".join(fixed))
    nouns = " ".join([*class_names, *map(plural, class_names)])
    return tuple(sorted({*re.findall(r"\w+|[^\w\s]", f"{text} {nouns}"), *_ARTICLES, *_NUMBERS, *COLOURS}))


def _listing(scene: Scene, rng: np.random.Generator) -> str:
    """One to three of the classes present, as in: a red car, two trees and the dog."""
    counts = Counter(thing.class_index for thing in scene.objects)
    if not counts:
        return "nothing"
    sizes = {index: max(_area(t) for t in scene.objects if t.class_index == index) for index in counts}
    weights = np.asarray(list(sizes.values()), float) ** 2
    wanted = 1 + int(rng.choice(len(_NAMED), p=_NAMED))
    named = rng.choice(list(sizes), size=min(wanted, len(sizes)), replace=False, p=weights / weights.sum())
    phrases = [_phrase(scene, int(index), rng) for index in named]
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def _phrase(scene: Scene, class_index: int, rng: np.random.Generator) -> str:
    """One class, as in: two red cars; a car; my red car; cars."""
    things = [thing for thing in scene.objects if thing.class_index == class_index]
    colours = {thing.colour for thing in things if thing.colour is not None}
    name = list(scene.frequencies)[class_index]
    colour = f"{colours.pop()} " if len(colours) == 1 and rng.random() < _WITH_COLOUR else ""
    if len(things) > 1:
        number = f"{_NUMBERS[len(things) - 2]} " if rng.random() < 0.6 else ""
        return f"{number}{colour}{plural(name)}"
    article = _choose(rng, _ARTICLES)
    return _one(colour + name) if article == "a" else f"{article} {colour}{name}"


def _one(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _absent_class(scene: Scene, rng: np.random.Generator) -> str:
    weights = np.asarray(list(scene.frequencies.values())) * (scene.labels == 0)
    return list(scene.frequencies)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _area(thing: SceneObject) -> int:
    left, top, right, bottom = thing.box
    return (right - left) * (bottom - top)


def _choose(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[rng.integers(len(options))]
