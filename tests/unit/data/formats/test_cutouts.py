import pickle

import numpy as np
import pytest

from cutout_support import photo_tree
from promptmlr.data import DataOptions, load_data
from promptmlr.paper.cutouts.folder import cut_out
from promptmlr.reporting import Reporter
from promptmlr.scenes import photograph
from promptmlr.scenes.cutouts import CutoutWorld

FEW = DataOptions(scenes_train=4, scenes_test=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    parent = tmp_path_factory.mktemp("photos")
    cut_out(photo_tree(parent / "coco"), parent / "cutouts", Reporter())
    return parent / "cutouts"


@pytest.mark.parametrize(
    ("kind", "purpose", "photographs", "seed"),
    [
        ("", "train", "train", 1),
        ("", "test", "test", 2),
        (":apart", "test", "test", 2),
        (":seen", "test", "train", 2),
        (":new", "train", "test", 1),
        (":seen:3", "train", "train", 7),
    ],
)
def test_the_name_says_which_photographs_and_series(folder, kind, purpose, photographs, seed):
    data = load_data(f"cutouts:{folder}{kind}", purpose, FEW)
    world = CutoutWorld(folder, photographs)
    scenes = [world.scene(seed, index) for index in range(len(data.images))]
    assert len(data.images) == {"train": 4, "test": 3}[purpose]
    assert data.class_names == ("disc", "square")
    np.testing.assert_array_equal(data.labels, np.stack([scene.labels for scene in scenes]))
    for index, (image, scene) in enumerate(zip(data.images, scenes, strict=True)):
        copy = pickle.loads(pickle.dumps(image))
        assert copy.name == image.name
        np.testing.assert_array_equal(np.asarray(copy.open()), photograph(scene.image, seed, index))


def test_a_split_can_be_named(folder, refused):
    assert load_data(f"cutouts:{folder}", options=DataOptions(split="test", scenes_test=3)).labels.shape == (3, 2)
    refused(["no split 'tset'", "'test'"], load_data, f"cutouts:{folder}", options=DataOptions(split="tset"))


def test_a_folder_of_images_is_refused(folder, tmp_path, refused):
    refused(["--images"], load_data, f"cutouts:{folder}", options=DataOptions(images=tmp_path))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (":sen", ["no photographs 'sen'", "'seen'"]),
        (":seen:x", ["cutouts:FOLDER:PHOTOGRAPHS:NUMBER", ":seen:3"]),
        (":seen:1:2", ["cutouts:FOLDER:PHOTOGRAPHS:NUMBER"]),
    ],
)
def test_names_of_no_photographs_are_refused(folder, refused, kind, said):
    refused(said, load_data, f"cutouts:{folder}{kind}")
