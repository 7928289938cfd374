"""Regions of a job's images: as its recipe shows them, and as they are."""

import hashlib
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Unpack

import numpy as np

from promptmlr.augmentation import Augmentation
from promptmlr.backbone import Backbone
from promptmlr.data.images import ImageRef
from promptmlr.features import JobSettings, Storage, StoredRegions, readable_regions
from promptmlr.pipeline.job import TrainingJob
from promptmlr.recipes import Recipe
from promptmlr.regions import Indices, RegionSource, shards_of

__all__ = ["JobRegions", "augmentation_of"]


def augmentation_of(recipe: Recipe, order_seed: int) -> Augmentation | None:
    """How a recipe shows images; None as they are."""
    if recipe.augmentation == "none":
        return None
    return Augmentation(order_seed, None if recipe.views == "exact" else recipe.views)


class JobRegions:
    """Regions of a job's N images, from wherever they are cheapest.

    Args:
        job: whose images, shown as its recipe says.
        backbone: the frozen CLIP.
        needed: (N'',) indices of the images that are asked for; None means all.
        settings: where regions are stored, and how images are read.

    Attributes:
        kept: (N',) the indices of those that can be read.
        source: their regions.
    """

    def __init__(
        self, job: TrainingJob, backbone: Backbone, needed: Indices | None = None, **settings: Unpack[JobSettings]
    ) -> None:
        images = job.labelled.images
        self._needed = np.arange(len(images)) if needed is None else needed
        self._images = images if needed is None else [images[index] for index in needed]
        self._open = partial(readable_regions, backbone, **settings)
        augmentation = augmentation_of(job.recipe, job.order_seed)
        self.augmented = augmentation is not None
        found, self.source = self._open(self._images, augmentation)
        self.kept = self._needed[found]

    @property
    def storage(self) -> Storage | None:
        """What they are stored as; None: not stored."""
        return self.source.store.format.storage if isinstance(self.source, StoredRegions) else None

    @property
    def sampling(self) -> str | None:
        """How training goes through them: by shard, and how these lie; None: all of them shuffled."""
        shards = shards_of(self.source)
        return None if shards is None else f"shards {hashlib.sha256(shards.tobytes()).hexdigest()[:16]}"

    @cached_property
    def as_they_are(self) -> tuple[Indices, RegionSource]:
        """The same images without augmentation: which of them can be read, and their regions."""
        if not self.augmented:
            return self.kept, self.source
        found, source = self.of(self._images)
        return self._needed[found], source

    def of(self, images: Sequence[ImageRef]) -> tuple[Indices, RegionSource]:
        """Other images through the same tower, without augmentation."""
        return self._open(images)
