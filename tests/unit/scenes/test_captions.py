"""Captions name what is present, never what is absent except in a statement of absence, at the rate asked for."""

import re

import numpy as np
import pytest

from promptmlr.scenes import CLASS_NAMES, Scene, SceneObject, caption, draw_scene
from promptmlr.scenes.captions import plural, vocabulary
from promptmlr.scenes.world import COLOURS

ABSENCE = re.compile(r"\b(?:no|without an?|not a photo of an?|not an?) (\w+)")
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5}


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(11, index) for index in range(300)]


def named_classes(text: str) -> set[str]:
    words = set(re.findall(r"\w+", text))
    return {name for name in CLASS_NAMES if words & {name, plural(name)}}


def present_classes(scene: Scene) -> set[str]:
    return {CLASS_NAMES[index] for index in np.flatnonzero(scene.labels)}


def scene_of(*things: tuple[str, str]) -> Scene:
    objects = tuple(SceneObject(CLASS_NAMES.index(name), colour, (0, 0, 9, 9)) for name, colour in things)
    return Scene(np.zeros((128, 128, 3), np.uint8), objects)


def captions_of(scene: Scene, count: int = 300, absence_rate: float = 0.0) -> list[str]:
    rng = np.random.default_rng(0)
    return [caption(scene, rng, absence_rate) for _ in range(count)]


def test_without_absence_only_what_is_present_is_named(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    for scene in scenes * 3:
        assert named_classes(caption(scene, rng, absence_rate=0.0)) <= present_classes(scene)


def test_a_statement_of_absence_names_one_absent_class(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    for scene in scenes * 3:
        text = caption(scene, rng, absence_rate=1.0)
        absent = {word for word in ABSENCE.findall(text) if word in CLASS_NAMES}
        assert len(absent) == 1, text
        assert not absent & present_classes(scene), text
        assert named_classes(text) - absent <= present_classes(scene), text
        assert named_classes(text) - absent, text


@pytest.mark.parametrize("rate", [0.0047, 0.3])
def test_absence_comes_at_the_rate_asked_for(scenes: list[Scene], rate: float) -> None:
    rng = np.random.default_rng(5)
    count = 12_000
    found = sum(bool(ABSENCE.search(caption(scenes[i % 300], rng, rate))) for i in range(count))
    assert abs(found - count * rate) < 4 * np.sqrt(count * rate * (1 - rate))


def test_the_default_rate_is_that_of_the_web(scenes: list[Scene]) -> None:
    one, other = np.random.default_rng(1), np.random.default_rng(1)
    assert [caption(s, one) for s in scenes] == [caption(s, other, absence_rate=0.0047) for s in scenes]


def test_captions_are_reproducible_and_varied(scenes: list[Scene]) -> None:
    assert captions_of(scenes[0]) == captions_of(scenes[0])
    assert len(set(captions_of(scenes[0]))) > 30


def test_colours_are_those_of_the_objects() -> None:
    texts = captions_of(scene_of(("car", "red")))
    colours = {word for text in texts for word in re.findall(r"\w+", text)} & set(COLOURS)
    assert colours == {"red"}


def test_a_colour_is_not_said_of_objects_that_differ() -> None:
    texts = captions_of(scene_of(("car", "red"), ("car", "blue")))
    assert not {word for text in texts for word in re.findall(r"\w+", text)} & set(COLOURS)


def test_captions_count_things_of_all_colours() -> None:
    texts = captions_of(scene_of(("fish", "red"), ("fish", "blue"), ("fish", "red"), ("boat", "red")))
    counts = {NUMBERS[word] for text in texts for word in re.findall(r"\w+", text) if word in NUMBERS}
    assert counts == {3}


def test_some_captions_name_nothing_and_some_leave_things_out(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    named = [(named_classes(caption(scene, rng)), present_classes(scene)) for scene in scenes]
    silent = np.mean([not names for names, _ in named])
    assert 0.01 < silent < 0.12
    assert np.mean([names < present for names, present in named]) > 0.4
    assert np.mean([names == present for names, present in named]) > 0.1


def test_large_objects_are_named_first() -> None:
    large, small = SceneObject(CLASS_NAMES.index("cat"), "red", (0, 0, 50, 50)), CLASS_NAMES.index("dog")
    scene = Scene(np.zeros((128, 128, 3), np.uint8), (large, SceneObject(small, "red", (60, 60, 85, 85))))
    texts = captions_of(scene)
    assert sum("cat" in text for text in texts) > 1.5 * sum("dog" in text for text in texts)


def test_every_caption_is_made_of_the_vocabulary(scenes: list[Scene]) -> None:
    words = set(vocabulary())
    rng = np.random.default_rng(0)
    for scene in scenes:
        for rate in (0.0, 1.0):
            assert set(re.findall(r"\w+|[^\w\s]", caption(scene, rng, rate))) <= words


def test_articles_suit_the_word() -> None:
    texts = " ".join(
        captions_of(scene_of(("umbrella", "orange"))) + captions_of(scene_of(("cat", "red")), absence_rate=1.0)
    )
    assert "an umbrella" in texts
    assert not re.search(r"\ba [aeiou]", texts)
    assert not re.search(r"\ban [^aeiou]", texts)
