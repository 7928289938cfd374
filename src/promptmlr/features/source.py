"""The source of a job's regions: the store, memory or pixels, whichever is cheapest."""

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from platformdirs import user_cache_path
from torch import Tensor

from promptmlr.augmentation import Augmentation
from promptmlr.backbone import Backbone, PrecomputedFeatures
from promptmlr.data.images import ImageRef, UnreadableImage
from promptmlr.data.precomputed import precomputed_regions
from promptmlr.errors import UserError
from promptmlr.features.bringing import bringing_shards
from promptmlr.features.extraction import WantedViews, fill, has_room
from promptmlr.features.storage import Storage
from promptmlr.features.store import RegionStore
from promptmlr.processes import first, from_first, gathered, here, processes
from promptmlr.profiling import part
from promptmlr.regions import (
    FreshRegions,
    Indices,
    InMemoryRegions,
    RegionSource,
    automatic_batch_size,
    extract,
    map_ahead,
)
from promptmlr.reporting import Reporter
from promptmlr.sampling import SHARDS_AT_ONCE

if TYPE_CHECKING:
    from promptmlr.features.remote_store import RemoteStore

    Store = RegionStore | RemoteStore

__all__ = [
    "JobSettings",
    "RegionCache",
    "StoredRegions",
    "default_cache_folder",
    "open_regions",
    "readable_regions",
    "stored_regions",
]

MEMORY_FOR_REGIONS = 4 << 30  # bytes; more than that is read from the store, or made fresh, batch by batch
Sampling = Literal["auto", "shuffle", "shards"]
SHARE_OF_DEVICE = 0.6  # of an accelerator's free memory
ROWS_AT_ONCE = 1024


def default_cache_folder() -> Path | None:
    """The folder in PROMPTMLR_CACHE, if it is no URL, or promptmlr in the user's cache folder; None without a home."""
    named = os.environ.get("PROMPTMLR_CACHE")
    if named and "://" not in named:
        return Path(named)
    try:
        found = user_cache_path("promptmlr")
    except RuntimeError:  # no HOME, and a user without a name, as containers have
        return None
    return found if found.is_absolute() else None  # older platformdirs leave the "~" as it is


@dataclass(frozen=True)
class RegionCache:
    """Where stores are kept, and how.

    Attributes:
        folder: holds one folder per store; None stores nothing. With a URL, local copies of its shards lie in it.
        storage: number format of stored regions.
        by_content: identify images by their bytes instead of path, size and modification time.
        url: where stores are kept instead, as fsspec takes it.
        shard_bytes: size of the files of a new store; None is its kind's own.
        copies_bytes: most that local copies of a URL's shards take together.
        sampling: how an epoch goes through images (`promptmlr.sampling`). auto: by shard, if they do not fit memory.
    """

    folder: Path | None
    storage: Storage = "float16"
    by_content: bool = False
    url: str | None = None
    shard_bytes: int | None = None
    copies_bytes: int = 20 * 10**9
    sampling: Sampling = "auto"

    @property
    def streams(self) -> bool:
        """Whether there may be more images than anybody encodes for nothing."""
        return self.url is not None or self.sampling == "shards"

    def open(self, backbone: Backbone) -> "Store":
        """The store of a backbone; errors as `RegionStore` and `RemoteStore`."""
        assert self.folder is not None
        if self.url is None:
            return RegionStore(self.folder, backbone, self.storage, self.shard_bytes)
        from promptmlr.features.copies import LocalCopies
        from promptmlr.features.remote_store import RemoteStore

        copies = LocalCopies(self.folder / "copies", self.copies_bytes)
        return RemoteStore(self.url, backbone, self.storage, copies, self.shard_bytes)


class JobSettings(TypedDict):
    """What every job is told besides its own arguments.

    Attributes:
        cache: where regions are stored; None holds them in memory or makes them fresh.
        skip_unreadable: leave unreadable images out instead of refusing them.
        workers: threads that decode images.
        reporter: where to say how it goes.
    """

    cache: RegionCache | None
    skip_unreadable: bool
    workers: int
    reporter: Reporter


class StoredRegions:
    """Regions of N images in a store, read ahead of the consumer, or all in memory if they fit.

    Args:
        store: it holds all rows asked for.
        rows: (V, N) the rows of V views of N images.
        augmentation: draws the view of each image and epoch; None if V is 1.
        device: of the returned regions.
        by_shard: go through them shard by shard in training.
    """

    def __init__(
        self,
        store: "Store",
        rows: NDArray[np.int64],
        augmentation: Augmentation | None = None,
        device: torch.device | None = None,
        by_shard: bool = False,
    ) -> None:
        self.by_shard = by_shard
        self.store = store
        self.rows = rows
        self.augmentation = augmentation
        self.device = device or torch.device("cpu")
        self._held: tuple[Tensor, ...] | None = None

    def __len__(self) -> int:
        return int(self.rows.shape[1])

    @property
    def nbytes(self) -> int:
        """Size of all rows asked for."""
        return self.rows.size * self.store.format.row_bytes

    def shards(self, epoch: int = 0) -> Indices | None:
        """(N,) the file of what `epoch` sees of each image, where they are gone through by it."""
        return self.store.shards_of(self.rows[self._views(epoch), np.arange(len(self))]) if self.by_shard else None

    def _views(self, epoch: int) -> Indices:
        if self.augmentation is None:
            return np.zeros(len(self), dtype=np.int64)
        return self.augmentation.drawn(len(self), epoch)

    def hold(self) -> None:
        """Load all rows, as they are stored, onto the device; file by file."""
        rows, held = self.rows.reshape(-1), None
        order = np.argsort(rows, kind="stable")
        for places in np.split(order, range(ROWS_AT_ONCE, len(rows), ROWS_AT_ONCE)):
            parts = self.store.format.parts(self.store.read(rows[places]))
            if held is None:  # only now the shapes are known
                held = tuple(part.new_empty((len(rows), *part.shape[1:]), device=self.device) for part in parts)
            for whole, some in zip(held, parts, strict=True):
                whole[torch.from_numpy(places).to(self.device)] = some.to(self.device)
        self._held = held

    def batches(self, plan: Sequence[Indices], epoch: int = 0) -> Iterator[tuple[Indices, Tensor]]:
        """Regions as `epoch` sees them, float32 on the device."""
        views = self._views(epoch)
        if self._held is not None:
            places = views * len(self) + np.arange(len(self))
            for indices in plan:
                chosen = torch.from_numpy(places[indices]).to(self.device, non_blocking=True)
                yield indices, self.store.format.unpack(tuple(part[chosen] for part in self._held))
            return

        def read(indices: Indices) -> Tensor:
            rows = self.store.read(self.rows[views[indices], indices]).to(self.device)
            return self.store.format.unpack(self.store.format.parts(rows))

        with bringing_shards(self.store, [self.rows[views[indices], indices] for indices in plan]) as at:
            for number, (indices, regions) in enumerate(
                zip(plan, map_ahead(read, plan, workers=1, ahead=2), strict=True)
            ):
                at(number)
                yield indices, regions


def open_regions(
    fresh: FreshRegions,
    cache: RegionCache | None,
    *,
    batch_size: int | None = None,
    reporter: Reporter | None = None,
) -> tuple[Indices, RegionSource]:
    """The regions of `fresh` from the cheapest source.

    With a cache they are extracted once and stored, unless every epoch shows new views or the disk has no room. Without
    a cache they are held in memory if all epochs see the same ones and these take at most `MEMORY_FOR_REGIONS`; else
    the source is `fresh` itself. Precomputed features are regions already.

    Args:
        fresh: images, backbone and augmentation; `fresh.unreadable` lists the unreadable images afterwards.
        cache: where and how to store; None stores nothing.
        batch_size: images through the tower at once; None chooses.
        reporter: receives progress and messages.

    Returns:
        The (N',) indices of the readable images (all N if that is not known yet), and their regions.

    Raises:
        UnreadableImage: an image cannot be read, unless they are skipped.
        UserError: there are features where pixels are needed.
    """
    reporter = reporter or Reporter()
    given = precomputed_regions(fresh.images)
    if given is not None:
        _check_precomputed(fresh)
        return np.arange(len(fresh)), InMemoryRegions(torch.from_numpy(given).to(fresh.backbone.device))
    augmentation = fresh.augmentation
    if cache is not None and (augmentation is None or augmentation.views is not None):
        found = stored_regions(fresh, cache, batch_size=batch_size, reporter=reporter)
        if found is not None:
            if found[1].nbytes <= _memory(found[1].device):
                found[1].hold()
            return found
    size = len(fresh) * fresh.backbone.regions * fresh.backbone.feature_width * 4
    if augmentation is not None or size > MEMORY_FOR_REGIONS:
        reporter.note("regions are made fresh from pixels whenever they are needed")
        return np.arange(len(fresh)), fresh
    with reporter.progress("encoding images") as say:
        return extract(fresh, batch_size or automatic_batch_size(fresh.backbone), say)


def readable_regions(
    backbone: Backbone,
    images: Sequence[ImageRef],
    augmentation: Augmentation | None = None,
    **settings: Unpack[JobSettings],
) -> tuple[Indices, RegionSource]:
    """As `open_regions`; what cannot be read is said."""
    skip, workers, reporter = settings["skip_unreadable"], settings["workers"], settings["reporter"]
    fresh = FreshRegions(backbone, images, augmentation=augmentation, workers=workers, skip_unreadable=skip)
    with part("finding or decoding images"):
        kept, source = open_regions(fresh, settings["cache"], reporter=reporter)
    for reason in {index: error for found in gathered(fresh.unreadable) for index, error in found.items()}.values():
        reporter.note(f"unreadable, left out: {reason}")
    return kept, source


def _check_precomputed(fresh: FreshRegions) -> None:
    """Refuse to see features through a tower, or to augment them."""
    if not isinstance(fresh.backbone, PrecomputedFeatures):
        raise UserError(f"{fresh.backbone.name} sees pixels, and these are features: name a data set of images for it")
    if fresh.augmentation is not None:
        raise UserError("features cannot be augmented as pixels can; take a recipe without, such as --recipe default")


def stored_regions(
    fresh: FreshRegions, cache: RegionCache, *, batch_size: int | None = None, reporter: Reporter | None = None
) -> tuple[Indices, StoredRegions] | None:
    """Regions from the store, which is filled first; None if there is no cache folder or no room.

    Args and errors as `open_regions`.
    """
    reporter = reporter or Reporter()
    if cache.folder is None:
        reporter.note("no regions are stored: this user has no home folder; name a place with --cache")
        return None
    store = cache.open(fresh.backbone)
    wanted = WantedViews(fresh, cache.by_content)
    wanted.note_unreadable(store)
    missing = from_first(lambda: wanted.missing(store))
    if any(map(len, missing)):
        if isinstance(store, RegionStore) and not from_first(lambda: has_room(store, missing, reporter)):
            return None
        with store.writing(reporter) if first() else nullcontext():
            fill(store, wanted, batch_size or automatic_batch_size(fresh.backbone), reporter)
    if processes() > 1:
        from_first(lambda: None)  # it has written everything
        store.reload()
    wanted.note_unreadable(store)
    kept = wanted.readable()
    if not len(kept):
        raise UnreadableImage("no image could be read")
    try:
        rows = np.array([[store.rows[keys[index]] for index in kept] for keys in wanted.keys])
    except KeyError as error:
        raise UserError(
            f"this machine does not see in {store.folder} what another one stored there; name a folder that all of "
            "them share with --cache, or a URL"
        ) from error
    by_shard = from_first(lambda: _by_shard(store, rows.size * store.format.row_bytes, cache.sampling))
    return kept, StoredRegions(store, rows, fresh.augmentation, fresh.backbone.device, by_shard)


def _by_shard(store: "Store", size: int, sampling: Sampling) -> bool:
    """Whether so many bytes are gone through by shard. What a device could hold is no matter: results depend on it.

    Raises:
        UserError: local copies have no room for the shards between which images are mixed, and for the next ones.
    """
    local = isinstance(store, RegionStore)
    fits = size <= (_physical_memory() if local else MEMORY_FOR_REGIONS)
    if sampling == "shuffle" or (sampling == "auto" and fits):
        return False
    if isinstance(store, RegionStore):
        return True
    needed, room = min(2 * SHARDS_AT_ONCE, store.shard_count), store.shards_in_copies()
    if room < needed:
        raise UserError(
            f"--cache-size has room for {room} shards of {store.folder}, and sampling by shard needs {needed}; "
            "give it more, or make the store anew with a smaller --cache-shard-size"
        )
    return True


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on this system
        return 1 << 62


def _memory(device: torch.device) -> float:
    """Bytes of regions that may be held at once."""
    if device.type == "cuda":
        return SHARE_OF_DEVICE * torch.cuda.mem_get_info(device)[0]
    return MEMORY_FOR_REGIONS / here()
