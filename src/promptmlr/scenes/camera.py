"""The camera between the drawn world and its data sets: grain that the pretraining never saw.

A CLIP meets people's photos after the web's images, and what it learned from captions fits them less well. Without that
step the miniature would know the answers before it has seen a label.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["GRAIN", "photograph"]

GRAIN = 20.0
"""Standard deviation of the grain, in grey levels of 255."""

_CAMERA = 1  # keeps its random numbers apart from those that drew the scene


def photograph(image: NDArray[np.uint8], seed: int, index: int) -> NDArray[np.uint8]:
    """Add grain, the same to all three channels of a pixel.

    Args:
        image: (S, S, 3), scene `index` of the world `seed`.
        seed: with `index`, fixes the grain.
        index: see `seed`.

    Returns:
        (S, S, 3) uint8.
    """
    rng = np.random.default_rng([seed, index, _CAMERA])
    grain = GRAIN * rng.standard_normal((*image.shape[:2], 1), np.float32)
    return np.clip(image + grain, 0, 255).astype(np.uint8)
