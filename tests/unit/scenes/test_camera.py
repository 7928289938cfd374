"""The camera adds grain of one strength, the same to all channels, and nothing else."""

import numpy as np
import pytest

from promptmlr.scenes.camera import photograph
from promptmlr.scenes.world import WORLDS

GREY = np.full((128, 128, 3), 128, np.uint8)


@pytest.mark.parametrize("world", ["usual", "grainy"])
def test_grain_is_grey_and_as_strong_as_said(world: str) -> None:
    grain = photograph(GREY, 0, 0, WORLDS[world]).astype(float) - GREY
    assert np.all(grain == grain[..., :1])
    assert abs(grain.std() - WORLDS[world].grain) < 0.05 * WORLDS[world].grain
    assert abs(grain.mean()) < 1.0


def test_the_scene_fixes_the_grain() -> None:
    np.testing.assert_array_equal(photograph(GREY, 1, 2), photograph(GREY, 1, 2))
    for seed, index in ((1, 3), (2, 2)):
        assert not np.array_equal(photograph(GREY, 1, 2), photograph(GREY, seed, index))


def test_the_scene_is_left_alone_and_values_stay_in_range() -> None:
    white = np.full((8, 8, 3), 255, np.uint8)
    photo = photograph(white, 0, 0)
    assert photo.dtype == np.uint8
    assert np.all(white == 255)
    assert photo.min() > 128  # nothing wraps around
