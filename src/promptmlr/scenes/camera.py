"""The camera between the drawn world and its data sets: image noise (grain) that pretraining did not see.

It is the domain shift between CLIP's pretraining and users' photos. Without it the miniature's zero-shot would be
nearly perfect and leave nothing to learn.
"""

import numpy as np
from numpy.typing import NDArray

from promptmlr.scenes.world import WORLDS, World

__all__ = ["photograph"]

_CAMERA = 1  # keeps its random numbers apart from those that drew the scene


def photograph(image: NDArray[np.uint8], seed: int, index: int, world: World = WORLDS["usual"]) -> NDArray[np.uint8]:
    """Add grain, the same to all three channels of a pixel.

    Args:
        image: (S, S, 3), scene `index` of the series `seed`.
        seed: with `index`, fixes the grain.
        index: see `seed`.
        world: how grainy.

    Returns:
        (S, S, 3) uint8.
    """
    rng = np.random.default_rng([seed, index, _CAMERA])
    grain = np.float32(world.grain) * rng.standard_normal((*image.shape[:2], 1), np.float32)
    return np.clip(image + grain, 0, 255).astype(np.uint8)
