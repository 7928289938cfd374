"""Regions of a job's images: as its recipe shows them, and as they are."""

from collections.abc import Sequence
from functools import cached_property

from promptmlr.augmentation import Augmentation
from promptmlr.backbone import Backbone
from promptmlr.data import LabelledImages
from promptmlr.data.images import ImageRef
from promptmlr.features import RegionCache, Storage, StoredRegions, readable_regions
from promptmlr.recipes import Recipe
from promptmlr.regions import FreshRegions, Indices, RegionSource
from promptmlr.reporting import Reporter

__all__ = ["JobRegions", "training_images"]


def training_images(
    labelled: LabelledImages,
    recipe: Recipe,
    backbone: Backbone,
    order_seed: int,
    *,
    skip_unreadable: bool = False,
    workers: int = 2,
) -> FreshRegions:
    """The images as the recipe shows them, fresh from pixels."""
    augmentation = None
    if recipe.augmentation != "none":
        augmentation = Augmentation(order_seed, None if recipe.views == "exact" else recipe.views)
    images = labelled.images
    return FreshRegions(backbone, images, augmentation=augmentation, workers=workers, skip_unreadable=skip_unreadable)


class JobRegions:
    """Regions of N images, from wherever they are cheapest.

    Args:
        images: as the recipe shows them.
        cache: where regions are stored; None holds them in memory or makes them fresh.
        reporter: where to say how it goes.

    Attributes:
        kept: (N',) the indices of those that can be read.
        source: their regions.
    """

    def __init__(self, images: FreshRegions, cache: RegionCache | None, reporter: Reporter) -> None:
        self.images = images
        self.augmented = images.augmentation is not None
        self._cache = cache
        self._reporter = reporter
        self.kept, self.source = readable_regions(images, cache, reporter)

    @property
    def storage(self) -> Storage | None:
        """What they are stored as; None: not stored."""
        return self.source.store.format.storage if isinstance(self.source, StoredRegions) else None

    @cached_property
    def as_they_are(self) -> tuple[Indices, RegionSource]:
        """The same images without augmentation: which of them can be read, and their regions."""
        return self.of(self.images.images) if self.augmented else (self.kept, self.source)

    def of(self, images: Sequence[ImageRef]) -> tuple[Indices, RegionSource]:
        """Other images through the same tower, without augmentation."""
        own = self.images
        fresh = FreshRegions(own.backbone, images, workers=own.workers, skip_unreadable=own.skip_unreadable)
        return readable_regions(fresh, self._cache, self._reporter)
