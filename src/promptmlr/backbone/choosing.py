"""Which tower to take: what each costs and how well it is known to do, and the one for a purpose."""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from promptmlr.backbone.building import build_image_tower
from promptmlr.backbone.catalogue import MINIATURES, CatalogueEntry, catalogue, find_entry, uses_quick_gelu
from promptmlr.backbone.image import region_way, tower_kind
from promptmlr.backbone.weights import Weights, published
from promptmlr.errors import UserError

__all__ = [
    "DEFAULT_TOWER",
    "PAPER_TOWER",
    "PURPOSES",
    "Choice",
    "choices",
    "choices_of",
    "images_per_second",
    "recommended",
    "shortlist",
]

DEFAULT_TOWER = ("ViT-B-16", "datacomp_xl_s13b_b90k")
"""Name and tag where a person names none: `recommended("cpu")`."""

PAPER_TOWER = ("RN101", "openai")
"""Where the paper's numbers are in question."""

ROUNDS = 5


@dataclass(frozen=True, eq=False)
class Choice:
    """A tower with its weights.

    Attributes:
        entry: the model.
        weights: what is published of them.
    """

    entry: CatalogueEntry
    weights: Weights

    @property
    def key(self) -> tuple[str, str]:
        """Name and tag."""
        return self.entry.name, self.weights.tag

    @property
    def options(self) -> str:
        """As a command takes it."""
        return "--backbone {} --pretrained {}".format(*self.key)

    def as_dict(self) -> dict[str, Any]:
        """Everything that is known, for programs."""
        entry, weights = self.entry, self.weights
        return {
            "name": entry.name,
            "tag": weights.tag,
            "pixels": entry.image_size,
            "regions": entry.regions(entry.image_size),
            "width": entry.feature_width,
            "image_parameters": entry.image_parameters,
            "text_parameters": entry.text_parameters,
            "gflop": None if math.isnan(entry.gflop) else entry.gflop,
            "imagenet": weights.imagenet,
            "voc2007": weights.voc2007,
            "results_source": weights.results_source or None,
            "licence": weights.licence or None,
            "licence_source": weights.licence_source or None,
            "languages": weights.languages or None,
            "extra": "text" if entry.needs_transformers else None,
        }


PURPOSES = {"phone": 10.0, "cpu": 40.0, "gpu": 200.0, "best": math.inf}
"""What a tower is for → the most GFLOP that an image may take."""


@cache
def choices() -> tuple[Choice, ...]:
    """Every tower of open_clip's with every set of weights, from cheap to dear, the better first."""
    found = [one for entry in catalogue() for one in _of(entry) if not _is_twin(*one.key)]
    return tuple(sorted(found, key=lambda one: (one.entry.gflop, -(one.weights.imagenet or 0), one.key)))


def choices_of(names: Sequence[str]) -> list[Choice]:
    """Some models with all their weights.

    Raises:
        UserError: as `find_entry`; or one is a miniature, of which nothing is published.
    """
    for name in names:
        if name in MINIATURES:
            raise UserError(f"{name} is in the package and knows drawings alone: docs/towers.md says how well")
    return [one for name in names for one in _of(find_entry(name))]


def _of(entry: CatalogueEntry) -> list[Choice]:
    return [Choice(entry, published().get((entry.name, tag), Weights(entry.name, tag))) for tag in entry.tags or ("",)]


def _is_twin(name: str, tag: str) -> bool:
    """Whether another name has the same weights, and their activation too, as its tag says."""
    plain = name.removesuffix("-quickgelu")
    return plain != name and (plain, tag) in published() and uses_quick_gelu(plain, tag)


def shortlist() -> list[Choice]:
    """Those worth a look: that no cheaper one beats, of all or of those with a free licence, by either accuracy."""
    found: set[Choice] = set()
    for measure in ("imagenet", "voc2007"):
        for free in (False, True):
            best = 0.0
            for one in choices():
                value = getattr(one.weights, measure) or 0.0
                if value > best and (one.weights.is_free or not free):
                    best = value
                    found.add(one)
    return [one for one in choices() if one in found]


def recommended(purpose: str) -> Choice:
    """The one with the best published accuracy of those with a free licence that a purpose can bear.

    Args:
        purpose: of `PURPOSES`.

    Raises:
        UserError: there is no such purpose.
    """
    if purpose not in PURPOSES:
        raise UserError(f"there is no tower for {purpose!r}; choose from: {', '.join(PURPOSES)}")
    bearable = [
        one
        for one in choices()
        if one.entry.gflop <= PURPOSES[purpose]
        and one.weights.is_free
        and not one.entry.needs_transformers
        and one.weights.score
    ]
    return max(bearable, key=lambda one: one.weights.score or 0.0)


def images_per_second(entry: CatalogueEntry, device: str = "cpu", images: int = 4) -> float:
    """How many images a tower encodes a second here: random weights, its own size, the median of some rounds.

    Args:
        entry: the model.
        device: where.
        images: in a batch.
    """
    tower = build_image_tower(entry.config).eval().requires_grad_(False)
    kind = tower_kind(tower)
    kind.prepare(tower)
    encode = kind.encoder(tower.to(device), region_way(tower, None, entry.name))
    pixels = torch.randn(images, 3, entry.image_size, entry.image_size, device=device)
    return images / statistics.median(_seconds(encode, pixels))


@torch.no_grad()
def _seconds(encode: Any, pixels: torch.Tensor) -> Sequence[float]:
    encode(pixels)  # packs weights
    found = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        float(encode(pixels).float().mean())  # waits for a GPU
        found.append(time.perf_counter() - begun)
    return found
