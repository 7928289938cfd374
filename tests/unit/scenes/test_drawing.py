"""Drawn scenes: reproducible one by one, every labelled object in view, long-tailed and co-occurring."""

import subprocess
import sys

import numpy as np
import pytest

from promptmlr.scenes import CLASS_NAMES, IMAGE_SIZE, Scene, SceneObject, draw_scene, drawing, pasting
from promptmlr.scenes.glyphs import GLYPHS
from promptmlr.scenes.world import BACKDROPS, COLOURS, FREQUENCIES, THEMES, WORLDS


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(7, index) for index in range(600)]


@pytest.fixture(scope="module")
def labels(scenes: list[Scene]) -> np.ndarray:
    return np.stack([scene.labels for scene in scenes])


def test_the_world_is_consistent() -> None:
    assert tuple(GLYPHS) == CLASS_NAMES == tuple(FREQUENCIES)
    assert {name for theme in THEMES.values() for name in theme.classes} <= set(CLASS_NAMES)
    assert {name for theme in THEMES.values() for name in theme.backdrops} == set(BACKDROPS)


def test_a_scene_is_an_image_with_complete_labels(scenes: list[Scene]) -> None:
    for scene in scenes[:50]:
        assert scene.image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
        assert scene.image.dtype == np.uint8
        assert scene.labels.dtype == np.int8
        assert set(np.flatnonzero(scene.labels)) == {thing.class_index for thing in scene.objects}
        assert 1 <= len(scene.objects) <= len(WORLDS["usual"].object_counts)
        for thing in scene.objects:
            left, top, right, bottom = thing.box
            assert 0 <= left < right <= IMAGE_SIZE
            assert 0 <= top < bottom <= IMAGE_SIZE
            assert thing.colour in COLOURS


def test_any_scene_can_be_drawn_alone(scenes: list[Scene]) -> None:
    drawing._sprites.cache_clear()
    for index in (421, 3, 88):
        again = draw_scene(7, index)
        np.testing.assert_array_equal(again.image, scenes[index].image)
        assert again.objects == scenes[index].objects


def test_another_process_draws_the_same(scenes: list[Scene]) -> None:
    code = (
        "import sys; from promptmlr.scenes import draw_scene; sys.stdout.buffer.write(draw_scene(7, 5).image.tobytes())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert out == scenes[5].image.tobytes()


def test_seed_and_index_both_matter() -> None:
    images = [draw_scene(seed, index).image for seed, index in ((0, 0), (0, 1), (1, 0))]
    assert not any(np.array_equal(images[i], images[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("index", range(40))
def test_every_labelled_object_can_be_seen(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redraw the scene with the i-th object left out of the blending: the pixels that change are those in view."""
    scene = draw_scene(3, index)
    blend, objects = pasting.blend, len(scene.objects)

    def draw_without(skipped: int) -> np.ndarray:
        placed = iter(range(objects))

        def blend_all_but_one(canvas, sprite, corner, colour, strength=1.0):  # type: ignore[no-untyped-def]
            if strength < 1 or next(placed) != skipped:
                blend(canvas, sprite, corner, colour, strength)

        monkeypatch.setattr(pasting, "blend", blend_all_but_one)
        return draw_scene(3, index).image

    for number, thing in enumerate(scene.objects):
        changed = np.any(draw_without(number) != scene.image, axis=-1)
        left, top, right, bottom = thing.box
        assert changed.sum() == changed[top:bottom, left:right].sum()
        # a glyph fills at least a sixth of its square, and 65 % of that is in view; a few pixels match the backdrop
        assert changed.sum() > 0.08 * (right - left) * (bottom - top)


def test_an_object_that_would_hide_another_is_refused() -> None:
    owners = np.full((IMAGE_SIZE, IMAGE_SIZE), -1, np.int8)
    owners[:64, :64] = 0
    everything = np.ones((IMAGE_SIZE, IMAGE_SIZE), bool)
    rng = np.random.default_rng(0)
    assert pasting.free_corner(rng, everything, owners, [64 * 64]) is None
    assert pasting.free_corner(rng, everything[:10, :10], owners, [64 * 64]) is not None


def test_hiding_adds_up_over_several_objects() -> None:
    owners = np.full((IMAGE_SIZE, IMAGE_SIZE), -1, np.int8)
    owners[:, :90] = 0  # of the first object 70 % is in view: another 10 % may not go
    mask = np.ones((IMAGE_SIZE, 13), bool)
    area = round(IMAGE_SIZE * 90 / 0.7)
    for seed in range(20):
        corner = pasting.free_corner(np.random.default_rng(seed), mask, owners, [area])
        assert corner is None or corner[0] >= 90 - 6


def test_classes_are_long_tailed(labels: np.ndarray) -> None:
    prevalence = np.sort(labels.mean(axis=0))[::-1]
    assert prevalence[0] > 0.25
    assert prevalence[-1] < 0.08
    assert prevalence[-1] > 0.015
    assert 0.10 < prevalence.mean() < 0.14


def test_classes_of_a_theme_keep_company(labels: np.ndarray) -> None:
    """Pairs that share a theme meet more often than independent classes would, pairs that share none less often."""
    together = {(a, b) for theme in THEMES.values() for a in theme.classes for b in theme.classes if a != b}
    related = np.array([[(a, b) in together for b in CLASS_NAMES] for a in CLASS_NAMES])
    unrelated = ~related & ~np.eye(len(CLASS_NAMES), dtype=bool)
    observed = labels.T.astype(float) @ labels / len(labels)
    independent = np.outer(labels.mean(axis=0), labels.mean(axis=0))
    assert observed[related].sum() > 1.2 * independent[related].sum()
    assert observed[unrelated].sum() < 0.8 * independent[unrelated].sum()


def test_strangers_keep_no_company() -> None:
    labels = np.stack([draw_scene(7, index, WORLDS["strangers"]).labels for index in range(600)]).astype(float)
    together = {(a, b) for theme in THEMES.values() for a in theme.classes for b in theme.classes if a != b}
    related = np.array([[(a, b) in together for b in CLASS_NAMES] for a in CLASS_NAMES])
    observed = labels.T @ labels / len(labels)
    independent = np.outer(labels.mean(axis=0), labels.mean(axis=0))
    assert observed[related].sum() < 1.1 * independent[related].sum()


def test_a_crowd_is_larger_and_of_smaller_things(scenes: list[Scene]) -> None:
    crowded = [draw_scene(7, index, WORLDS["crowded"]) for index in range(200)]
    assert np.mean([len(scene.objects) for scene in crowded]) > 1.5 * np.mean([len(scene.objects) for scene in scenes])
    assert max(box[2] - box[0] for scene in crowded for box in (thing.box for thing in scene.objects)) <= 38


def test_objects_and_scenes_are_frozen(scenes: list[Scene]) -> None:
    with pytest.raises(AttributeError):
        scenes[0].objects = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        SceneObject(0, "red", (0, 0, 1, 1)).colour = "blue"  # type: ignore[misc]


def test_drawing_needs_no_torch() -> None:
    code = "import sys, promptmlr.scenes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
