"""Cutout and two random operations, seeded by view."""

import numpy as np
import pytest
from PIL import Image

from promptmlr.augmentation import OPERATIONS, Augmentation, cutout

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, size=(32, 48, 3), dtype=np.uint8))


def same(a: Image.Image, b: Image.Image) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b))


def test_a_view_follows_from_seed_epoch_and_image_alone() -> None:
    view = Augmentation(1)(IMAGE, 2, 3)
    Augmentation(1)(IMAGE, 0, 0)
    assert same(view, Augmentation(1)(IMAGE, 2, 3))
    assert view.size == IMAGE.size
    assert view.mode == "RGB"
    for other in (Augmentation(2)(IMAGE, 2, 3), Augmentation(1)(IMAGE, 3, 3), Augmentation(1)(IMAGE, 2, 4)):
        assert not same(view, other)


def test_the_image_itself_stays() -> None:
    before = np.array(IMAGE)
    for index in range(20):
        Augmentation(0)(IMAGE, 0, index)
    assert np.array_equal(np.asarray(IMAGE), before)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("share", [-1, -1 / 9, 1 / 9, 1])
def test_every_operation_at_its_weakest_and_strongest(name: str, share: float) -> None:
    strongest, operation = OPERATIONS[name]
    changed = operation(IMAGE, share * strongest)
    assert changed.size == IMAGE.size
    assert changed.mode == "RGB"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("brightness", -0.9, lambda x: x // 10),
        ("invert", 0.0, lambda x: 255 - x),
        ("posterize", 4.0, lambda x: x & 0xF0),
        ("solarize", 256.0, lambda x: 255 - x),
        ("solarize", 128.0, lambda x: np.where(x < 128, x, 255 - x)),
        ("translate x", 1 / 3, lambda x: np.concatenate([x[:, 16:], np.full_like(x[:, :16], 128)], axis=1)),
        ("translate y", -0.25, lambda x: np.concatenate([np.full_like(x[:8], 128), x[:-8]])),
    ],
)
def test_operations_by_hand(name: str, value: float, expected) -> None:
    pixels = np.asarray(IMAGE)
    difference = np.asarray(OPERATIONS[name][1](IMAGE, value)).astype(int) - expected(pixels)
    assert np.abs(difference).max() <= 1


def test_cutout_is_one_box_of_one_colour_and_at_most_half_the_sides() -> None:
    sizes = set()
    for seed in range(50):
        cut = np.asarray(cutout(IMAGE, np.random.default_rng(seed)))
        rows, columns = np.nonzero((cut != np.asarray(IMAGE)).any(axis=2))
        box = cut[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert len(np.unique(box.reshape(-1, 3), axis=0)) == 1
        sizes.add(box.shape[:2])
        assert box.shape[0] <= 17
        assert box.shape[1] <= 25
    assert (17, 25) in sizes
    assert len(sizes) > 10
