"""Federated annotation: what people spotted is present, and some classes of each image were verified to be absent.

`lvis.toml` holds what was measured on LVIS's labels (`python bench/patterns.py`).
"""

import tomllib
from importlib.resources import files

import numpy as np

from promptmlr.labels.patterns.base import Pattern, Rates, Truth, spread_around_one

__all__ = ["FITTED", "PATTERN"]

FITTED = tomllib.loads(files(__package__).joinpath("lvis.toml").read_text(encoding="utf-8"))


def _rates(truth: Truth, rng: np.random.Generator) -> Rates:
    """Present labels alike; absent ones by image and class, so many in all for each present one.

    The rate of absent labels of a class does not depend on how often it is present.
    """
    images, classes = truth.labels.shape
    of_image, of_class = (
        spread_around_one(rng, FITTED[f"{kind}_spread"], count)
        for kind, count in (("image", images), ("class", classes))
    )
    absent = np.outer(of_image, of_class)
    total = absent[truth.absent].sum()
    if total:
        absent *= FITTED["absent_per_present"] * max(truth.present.sum(), 1) / total
    return np.where(truth.present, 1.0, absent)


PATTERN = Pattern(
    "federated",
    "what is present is spotted, and some classes of each image, about as often one as another, are verified as absent",
    "Gupta et al., LVIS, CVPR 2019; fitted to 100 images of its validation labels",
    _rates,
    share=FITTED["known_share"],
)
