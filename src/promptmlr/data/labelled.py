"""What every data format becomes: images and their labels, sorted by id."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from promptmlr.data.images import ImageFile, ImageRef, SizedImage
from promptmlr.data.precomputed import Features
from promptmlr.errors import UnreadableImage, UserError
from promptmlr.labels import PRESENT, UNKNOWN, Keep, Labels, Observation
from promptmlr.labels.patterns import Sizes

__all__ = ["LabelledImages", "require_files"]


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """N images and their labels for C classes.

    Attributes:
        image_ids: N different names, sorted.
        images: N images in the same order, read when opened.
        labels: (N, C) int8: 1 present, 0 absent, -1 unknown.
        class_names: C different names.
        source: what was read, in a few words.
        notes: lines for the user: counts, choices made, what was left out.
        annotation_order: (N,) the row that each image has in the annotation file, which is the order of the
            released masks; None where there is none.
        without_splits: whether these are all images that there are, so that none is left for a test.
        features: where the images are `PrecomputedImage`s, the features that they are rows of; None where they have
            pixels.
        reading: how they were read (`DataOptions.recorded`), so that others can be read alike.
        folds: (N,) int64, where the data says which images go together in cross-validation.

    Raises:
        UserError: on construction, when these contradict each other.
    """

    image_ids: tuple[str, ...]
    images: Sequence[ImageRef]
    labels: Labels
    class_names: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()
    annotation_order: NDArray[np.intp] | None = None
    without_splits: bool = False
    features: Features | None = None
    folds: NDArray[np.int64] | None = None
    reading: Mapping[str, str | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count, shape = len(self.image_ids), (len(self.image_ids), len(self.class_names))
        if list(self.image_ids) != sorted(set(self.image_ids)):
            raise UserError(f"{self.source}: the image ids are not sorted, or one comes twice")
        if len(set(self.class_names)) != len(self.class_names):
            raise UserError(f"{self.source}: a class name comes twice")
        if len(self.images) != count:
            raise UserError(f"{self.source}: {len(self.images)} images for {count} image ids")
        if self.labels.shape != shape:
            raise UserError(f"{self.source}: labels of shape {self.labels.shape} where {shape} are needed")
        beyond = self.labels.size and (self.labels.min() < UNKNOWN or self.labels.max() > PRESENT)
        if self.labels.dtype != np.int8 or beyond:
            raise UserError(f"{self.source}: labels must be int8: 1 present, 0 absent, -1 unknown")
        order = self.annotation_order
        if order is not None and not np.array_equal(np.sort(order), np.arange(count)):
            raise UserError(f"{self.source}: the annotation order does not name every row once")
        if self.folds is not None and self.folds.shape != (count,):
            raise UserError(f"{self.source}: folds of shape {self.folds.shape} for {count} images")

    @classmethod
    def from_rows(
        cls,
        image_ids: Sequence[str],
        images: Sequence[ImageRef],
        labels: Labels,
        class_names: Sequence[str],
        source: str,
        notes: Sequence[str] = (),
        *,
        features: Features | None = None,
        folds: NDArray[np.int64] | None = None,
    ) -> "LabelledImages":
        """Sort rows that are in the order of their annotation file by image id."""
        order = np.array(sorted(range(len(image_ids)), key=image_ids.__getitem__), dtype=np.intp)
        return cls(
            tuple(image_ids[i] for i in order),
            tuple(images[i] for i in order),
            labels[order],
            tuple(class_names),
            source,
            tuple(notes),
            order,
            features=features,
            folds=None if folds is None else folds[order],
        )

    def with_classes(self, class_names: Sequence[str]) -> "LabelledImages":
        """The same images with their classes in the order of `class_names`.

        Raises:
            UserError: the classes are others.
        """
        if set(class_names) != set(self.class_names):
            odd = sorted(set(class_names) ^ set(self.class_names))
            raise UserError(f"{self.source}: its classes differ from those of the training data, first in {odd[0]!r}")
        return self.of_classes(class_names)

    def of_classes(self, class_names: Sequence[str]) -> "LabelledImages":
        """The same images with some of their classes, in this order."""
        columns = [self.class_names.index(name) for name in class_names]
        return dataclasses.replace(self, labels=self.labels[:, columns], class_names=tuple(class_names))

    def rows(self, chosen: NDArray[np.intp] | NDArray[np.int64]) -> "LabelledImages":
        """Some of the images, by their places in ascending order; they no longer have an annotation order."""
        return dataclasses.replace(
            self,
            image_ids=tuple(self.image_ids[i] for i in chosen),
            images=tuple(self.images[int(i)] for i in chosen),
            labels=self.labels[chosen],
            annotation_order=None,
            folds=None if self.folds is None else self.folds[chosen],
        )

    def kept(self, observation: Observation, seed: int, among: Labels | None = None) -> Keep:
        """(N, C) bool, the labels that a protocol keeps.

        Args:
            observation: the protocol.
            seed: of the draw.
            among: (N, C) labels in the place of these, of which some are hidden already.

        Raises:
            UserError: as `Observation.keep`; or it looks at the sizes of objects, and the data do not say them.
        """
        sizes = self._object_sizes(observation.name) if observation.needs_sizes else None
        return observation.keep(self.labels if among is None else among, seed, sizes)

    def _object_sizes(self, name: str) -> Sizes:
        """(N, C) share of the image that the largest object of a class covers, 0 where there is none."""
        found = np.zeros(self.labels.shape)
        for row, image in enumerate(self.images):
            if not isinstance(image, SizedImage):
                raise UserError(
                    f"{self.source}: {name} is by the sizes of objects, and only drawn scenes say them; take "
                    "scenes, or another way to hide labels, such as annotators:0.1"
                )
            sizes = image.object_sizes()
            found[row] = [sizes.get(one, 0.0) for one in self.class_names]
        return found

    def with_notes(self, *notes: str) -> "LabelledImages":
        """The same data with `notes` before its own."""
        return dataclasses.replace(self, notes=(*notes, *self.notes))


def require_files(images: Sequence[ImageFile], where: Callable[[int], str]) -> None:
    """Refuse missing image files, naming the first one (`where(i)` says who asks for image i) and how many.

    Raises:
        UnreadableImage: an image is missing.
    """
    missing = [i for i, image in enumerate(images) if not image.exists()]
    if missing:
        first = missing[0]
        raise UnreadableImage(
            f"{where(first)}: no image {images[first].name!r} ({len(missing)} of {len(images)} images are missing); "
            "name their folder with --images"
        )
