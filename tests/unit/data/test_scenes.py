import pickle

import numpy as np
import pytest

from promptmlr.data import DataOptions, load_data
from promptmlr.scenes import CLASS_NAMES, draw_scene, photograph

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
    assert load_data("scenes", "test", options=FEW).source == "drawn scenes, split test (seed 2)"
    refused(["no split 'tset'", "'test'"], load_data, "scenes", "tset")


def test_a_folder_of_images_is_refused(tmp_path, refused):
    refused(["--images"], load_data, "scenes", images=tmp_path)
