"""The interface between images and everything else: a `RegionSource` gives batches of regions (B, R, D).

Training, evaluation and prediction use regions only. Regions are held in memory or computed from pixels; both give the
same numbers.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.augmentation import Augmentation
from promptmlr.backbone import Backbone
from promptmlr.data.images import ImageRef, UnreadableImage
from promptmlr.processes import gathered, gathered_items, own_part, processes
from promptmlr.profiling import part
from promptmlr.reporting import Progress

__all__ = [
    "FreshRegions",
    "InMemoryRegions",
    "Indices",
    "RegionSource",
    "SelectedRegions",
    "automatic_batch_size",
    "encode_stream",
    "extract",
    "held",
    "in_order",
    "index_batches",
    "map_ahead",
    "shards_of",
    "shared_batches",
]

BATCH_PIXELS = 32 * 448**2  # through the tower at once; RN101 then takes about 3 GB in float32

Indices = NDArray[np.int64]
Item = TypeVar("Item")
Result = TypeVar("Result")


class RegionSource(Protocol):
    """Regions of N images, by index."""

    def __len__(self) -> int:
        """N."""

    def batches(self, plan: Sequence[Indices], epoch: int = 0) -> Iterator[tuple[Indices, Tensor]]:
        """For each index array of the plan, those of its images that could be read and their (B, R, D) regions.

        Nothing comes for an array of which none could be read; for an empty one, B is 0.
        """


@runtime_checkable
class Sharded(Protocol):
    """A source whose regions are read shard by shard."""

    def shards(self, epoch: int = 0) -> Indices | None:
        """(N,) the shard of what `epoch` sees of each image; None: any order is as good."""


def shards_of(source: RegionSource, epoch: int = 0) -> Indices | None:
    """`Sharded.shards`; None for all other sources."""
    return source.shards(epoch) if isinstance(source, Sharded) else None


class InMemoryRegions:
    """Regions in memory.

    Args:
        regions: (N, R, D) float, on the device where they are wanted.
    """

    def __init__(self, regions: Tensor) -> None:
        self.regions = regions

    def __len__(self) -> int:
        return len(self.regions)

    def batches(self, plan: Sequence[Indices], epoch: int = 0) -> Iterator[tuple[Indices, Tensor]]:  # noqa: ARG002
        """The same regions in every epoch."""
        for indices in plan:
            yield indices, self.regions[torch.from_numpy(indices).to(self.regions.device, non_blocking=True)]


class SelectedRegions:
    """Some of the images of another source, renumbered from 0.

    Args:
        source: regions of N images.
        chosen: (N',) their indices.
    """

    def __init__(self, source: RegionSource, chosen: Indices) -> None:
        self.source = source
        self.chosen = chosen
        self._places = np.full(len(source), -1)
        self._places[chosen] = np.arange(len(chosen))

    def __len__(self) -> int:
        return len(self.chosen)

    def shards(self, epoch: int = 0) -> Indices | None:
        """Those of the source, if it has some."""
        shards = shards_of(self.source, epoch)
        return None if shards is None else shards[self.chosen]

    def batches(self, plan: Sequence[Indices], epoch: int = 0) -> Iterator[tuple[Indices, Tensor]]:
        """Batches of the source's regions."""
        for indices, regions in self.source.batches([self.chosen[batch] for batch in plan], epoch):
            yield self._places[indices], regions


class FreshRegions:
    """Regions computed from pixels at every request, with decoding ahead in threads.

    Args:
        backbone: the frozen CLIP.
        images: N images.
        augmentation: views for training; None shows the image as it is.
        workers: decoding threads.
        skip_unreadable: leave unreadable images out of their batch instead of raising `UnreadableImage`.
    """

    def __init__(
        self,
        backbone: Backbone,
        images: Sequence[ImageRef],
        *,
        augmentation: Augmentation | None = None,
        workers: int = 2,
        skip_unreadable: bool = False,
    ) -> None:
        self.backbone = backbone
        self.images = images
        self.augmentation = augmentation
        self.workers = workers
        self.skip_unreadable = skip_unreadable
        self.unreadable: dict[int, UnreadableImage] = {}

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, plan: Sequence[Indices], epoch: int = 0) -> Iterator[tuple[Indices, Tensor]]:
        """Regions of the plan's images as `epoch` sees them.

        Raises:
            UnreadableImage: an image cannot be read, unless they are skipped.
        """

        def pixels(index: int) -> Tensor | UnreadableImage:
            try:
                image = self.images[index].open()
            except UnreadableImage as error:
                return error
            preprocessing = self.backbone.preprocessing
            if self.augmentation is None:
                return preprocessing.pixels(image)
            return preprocessing.pixels(self.augmentation(preprocessing.resized(image), int(views[index]), index))

        views = np.zeros(0) if self.augmentation is None else self.augmentation.drawn(len(self), epoch)
        flat = (int(index) for indices in plan for index in indices)
        decoded = map_ahead(pixels, flat, self.workers, ahead=2 * max(map(len, plan), default=1))
        for indices in plan:
            results = list(islice(decoded, len(indices)))
            for index, result in zip(indices, results, strict=True):
                if isinstance(result, UnreadableImage):
                    if not self.skip_unreadable:
                        raise result
                    self.unreadable[int(index)] = result
            readable = [i for i, result in enumerate(results) if isinstance(result, Tensor)]
            if readable or not results:
                batch = [result for result in results if isinstance(result, Tensor)]
                yield indices[readable], encode_pixels(self.backbone, batch)


def automatic_batch_size(backbone: Backbone) -> int:
    """Images through the tower at once: as many as 32 of 448 px have pixels; on a GPU eight times as many."""
    whole = BATCH_PIXELS * (8 if backbone.device.type == "cuda" else 1)
    return min(max(whole // backbone.image_size**2, 1), 256)


def index_batches(count: int, batch_size: int) -> list[Indices]:
    """0 … count − 1 in order, cut into batches."""
    return [np.arange(begin, min(begin + batch_size, count)) for begin in range(0, count, batch_size)]


def in_order(source: RegionSource, batch_size: int) -> Iterator[tuple[Indices, Tensor]]:
    """This process's part of all images that could be read, one after the other; never an empty batch."""
    plan = own_part(index_batches(len(source), batch_size))
    yield from (batch for batch in source.batches(plan) if len(batch[0]))


def shared_batches(
    source: RegionSource, plan: Sequence[Indices], epoch: int
) -> Iterator[tuple[Indices, Sequence[int], Tensor]]:
    """Batches of which each process reads its own part.

    Yields:
        The (B,) indices of the images of a batch that any process could read, how many of them each one has, and the
        (B', R, D) regions of this one's.
    """
    if processes() == 1:
        yield from ((indices, [len(indices)], regions) for indices, regions in source.batches(plan, epoch))
        return
    parts = [own_part(batch) for batch in plan]
    for batch, (own, regions) in zip(plan, _each_of(parts, source.batches(parts, epoch)), strict=True):
        told = gathered((own, None if regions is None else (regions.shape[1:], regions.dtype, regions.device.type)))
        kinds = [kind for _, kind in told if kind is not None]
        indices = np.concatenate([part for part, _ in told])
        if not kinds or (len(batch) and not len(indices)):
            continue
        if regions is None:
            shape, dtype, device = kinds[0]
            regions = torch.empty((0, *shape), dtype=dtype, device=device)
        yield indices, [len(part) for part, _ in told], regions


def _each_of(
    plan: Sequence[Indices], batches: Iterator[tuple[Indices, Tensor]]
) -> Iterator[tuple[Indices, Tensor | None]]:
    """Batches of a plan, with None in place of those that did not come because nothing could be read."""
    coming = next(batches, None)
    for wanted in plan:
        if coming is not None and np.isin(coming[0], wanted).all() and bool(len(coming[0])) == bool(len(wanted)):
            yield coming
            coming = next(batches, None)
        else:
            yield wanted[:0], None


def extract(
    source: FreshRegions, batch_size: int = 32, progress: Progress | None = None
) -> tuple[Indices, InMemoryRegions]:
    """All regions of a source, once, into memory.

    Returns:
        The (N',) indices of the images that could be read, and their regions in that order.
    """
    found, done = [], 0
    for indices, batch in in_order(source, batch_size):
        found.append((indices, batch))
        done += len(indices) * processes()
        if progress is not None:
            progress(min(done, len(source)), len(source))
    return _in_memory(_of_all(found))


def held(source: RegionSource, batch_size: int = 256) -> tuple[Indices, InMemoryRegions]:
    """All regions of a source in memory, float32, and the (N',) indices of the images that could be read."""
    images = source.source if isinstance(source, SelectedRegions) else source
    if isinstance(images, FreshRegions):
        found = _of_all(list(in_order(source, batch_size)))
    else:  # reading takes less than telling the others
        found = list(source.batches(index_batches(len(source), batch_size)))
    return _in_memory([(indices, regions.float()) for indices, regions in found])


def _of_all(own: list[tuple[Indices, Tensor]]) -> list[tuple[Indices, Tensor]]:
    """What all processes found, each on its own device."""
    if processes() == 1:
        return own
    told = gathered_items([(indices, regions.cpu(), regions.device.type) for indices, regions in own])
    return [(indices, regions.to(device)) for indices, regions, device in told]


def _in_memory(found: list[tuple[Indices, Tensor]]) -> tuple[Indices, InMemoryRegions]:
    if not found:
        raise UnreadableImage("no image could be read")
    return np.concatenate([indices for indices, _ in found]), InMemoryRegions(torch.cat([part for _, part in found]))


def encode_stream(
    backbone: Backbone, images: Iterable[ImageRef], batch_size: int | None = None, workers: int = 2
) -> Iterator[tuple[list[ImageRef], list[UnreadableImage | None], Tensor | None]]:
    """Regions of a stream of images, batch by batch, in order; memory does not grow with its length.

    The next batch is decoded while this one is in the tower. A batch size of None chooses one.

    Yields:
        The images of a batch, for each None or why it could not be read, and the regions of the readable ones
        (None when there is none).
    """

    def pixels(image: ImageRef) -> tuple[ImageRef, Tensor | UnreadableImage]:
        try:
            return image, backbone.preprocessing.pixels(image.open())
        except UnreadableImage as error:
            return image, error

    batch_size = batch_size or automatic_batch_size(backbone)
    decoded = map_ahead(pixels, images, workers, ahead=2 * batch_size)
    while batch := list(islice(decoded, batch_size)):
        readable = [result for _, result in batch if isinstance(result, Tensor)]
        regions = encode_pixels(backbone, readable) if readable else None
        errors = [result if isinstance(result, UnreadableImage) else None for _, result in batch]
        yield [image for image, _ in batch], errors, regions


def encode_pixels(backbone: Backbone, pixels: Sequence[Tensor]) -> Tensor:
    """(3, S, S) uint8 images → (B, R, D) regions; B may be 0."""
    if not pixels:
        return torch.empty((0, backbone.regions, backbone.feature_width), device=backbone.device)
    with part("image tower"):
        batch = torch.stack(list(pixels)).to(backbone.device)
        return backbone.encode_image(backbone.preprocessing.normalise(batch, backbone.dtype))


def map_ahead(work: Callable[[Item], Result], items: Iterable[Item], workers: int, ahead: int) -> Iterator[Result]:
    """`map` in threads, in order, at most `ahead` items ahead of the consumer; without threads for 0 workers."""
    if workers < 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
