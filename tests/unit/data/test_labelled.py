import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest

from promptmlr.data import ImageFile, LabelledImages

DATA = LabelledImages(
    image_ids=("a", "b", "c"),
    images=tuple(ImageFile(Path(name)) for name in "abc"),
    labels=np.array([[1, 0], [-1, 1], [0, 0]], dtype=np.int8),
    class_names=("cat", "dog"),
    source="here",
    annotation_order=np.array([2, 0, 1]),
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_ids": ("b", "a", "c")}, ["not sorted"]),
        ({"image_ids": ("a", "a", "c")}, ["twice"]),
        ({"class_names": ("cat", "cat")}, ["class name comes twice"]),
        ({"images": DATA.images[:2]}, ["2 images for 3"]),
        ({"labels": DATA.labels[:2]}, ["(2, 2)", "(3, 2)"]),
        ({"labels": DATA.labels.astype(np.int64)}, ["int8"]),
        ({"labels": np.full((3, 2), 2, np.int8)}, ["1 present"]),
        ({"annotation_order": np.array([0, 0, 1])}, ["annotation order"]),
    ],
)
def test_contradictions_are_refused(refused, change, words):
    refused(["here", *words], dataclasses.replace, DATA, **change)


def test_rows_are_sorted_by_id():
    labels = np.array([[1], [0], [-1]], dtype=np.int8)
    data = LabelledImages.from_rows(["c", "a", "b"], [ImageFile(Path(n)) for n in "cab"], labels, ["cat"], "here")
    assert data.image_ids == ("a", "b", "c")
    assert [image.name for image in data.images] == ["a", "b", "c"]
    np.testing.assert_array_equal(data.labels, [[0], [-1], [1]])
    np.testing.assert_array_equal(data.labels, labels[data.annotation_order])


def test_it_can_go_to_a_loader_process():
    copy = pickle.loads(pickle.dumps(DATA))
    assert copy.images == DATA.images
    np.testing.assert_array_equal(copy.labels, DATA.labels)


def test_classes_are_reordered_by_name_and_others_refused(refused):
    turned = DATA.with_classes(["dog", "cat"])
    assert turned.class_names == ("dog", "cat")
    np.testing.assert_array_equal(turned.labels, DATA.labels[:, ::-1])
    refused(["here", "'bird'"], DATA.with_classes, ["dog", "cat", "bird"])
