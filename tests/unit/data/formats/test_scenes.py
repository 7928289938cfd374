import pickle
from dataclasses import replace

import numpy as np
import pytest

from promptmlr.data import DataOptions, load_data
from promptmlr.scenes import CLASS_NAMES, WORLDS, draw_scene, photograph

FEW = DataOptions(scenes_train=4, scenes_test=3)


@pytest.mark.parametrize(("purpose", "seed", "count"), [("train", 1, 4), ("test", 2, 3)])
def test_scenes_are_those_of_the_drawn_world(purpose, seed, count):
    data = load_data("scenes", purpose=purpose, options=FEW)
    scenes = [draw_scene(seed, index) for index in range(count)]
    assert data.class_names == CLASS_NAMES
    np.testing.assert_array_equal(data.labels, np.stack([scene.labels for scene in scenes]))
    for index, (image, scene) in enumerate(zip(data.images, scenes, strict=True)):
        copy = pickle.loads(pickle.dumps(image))
        assert copy.name == image.name
        np.testing.assert_array_equal(np.asarray(copy.open()), photograph(scene.image, seed, index))


def test_a_split_can_be_named(refused):
    assert load_data("scenes", options=replace(FEW, split="test")).source == "drawn scenes, split test (seed 2)"
    refused(["no split 'tset'", "'test'"], load_data, "scenes", options=DataOptions(split="tset"))


def test_a_folder_of_images_is_refused(tmp_path, refused):
    refused(["--images"], load_data, "scenes", options=DataOptions(images=tmp_path))


def test_other_worlds_have_series_names_and_pixels_of_their_own():
    usual, crowded, second = (load_data(name, options=FEW) for name in ("scenes", "scenes:crowded", "scenes:crowded:3"))
    assert load_data("scenes:usual:0", options=FEW).images == usual.images
    assert crowded.source == "drawn scenes, crowded 0, split train (seed 1)"
    assert second.source == "drawn scenes, crowded 3, split train (seed 7)"
    assert load_data("scenes:crowded:3", purpose="test", options=FEW).source.endswith("(seed 8)")
    assert len({image.name for data in (usual, crowded, second) for image in data.images}) == 12
    assert len({data.images[0].fingerprint() for data in (usual, crowded, second)}) == 3
    pixels = photograph(draw_scene(7, 1, WORLDS["crowded"]).image, 7, 1, WORLDS["crowded"])
    np.testing.assert_array_equal(np.asarray(second.images[1].open()), pixels)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("scenes:crowed", ["no drawn world 'crowed'", "'crowded'"]),
        ("scenes:crowded:x", ["scenes:WORLD:NUMBER", "scenes:crowded:3"]),
        ("scenes:crowded:-1", ["scenes:WORLD:NUMBER"]),
        ("scenes:crowded:1:2", ["scenes:WORLD:NUMBER"]),
        ("scenes:", ["no drawn world ''"]),
    ],
)
def test_names_of_no_world_are_refused(refused, name, said):
    refused(said, load_data, name)
