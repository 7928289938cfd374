"""`promptmlr cache`: regions extracted beforehand, for all later runs."""

from typing import Annotated

from cyclopts import Parameter

from promptmlr.cli.options import (
    Batch,
    Cache,
    Data,
    NewTower,
    NonNegativeInt,
    Overwrite,
    PositiveInt,
    Reading,
    RegionArchive,
)
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.options import ArchiveOptions, CacheOptions, DataOptions, NewTowerOptions

__all__ = ["cache"]


def cache(
    data: Data,
    *more: Annotated[str, Parameter(help="More of an archive.")],
    out: str = "regions",
    overwrite: Overwrite = False,
    views: PositiveInt | None = None,
    order_seed: NonNegativeInt = 0,
    tower: NewTower = NewTowerOptions(),
    batch_size: Batch = None,
    reading: Reading = DataOptions(),
    regions: Cache = CacheOptions(),
    archive: RegionArchive = ArchiveOptions(),
) -> None:
    """Encode images ahead of time. `train` and `evaluate` do this themselves if you skip it.

    Args:
        views: Store this many augmented views of each image, for `train --views`. (default: the images themselves)
        order_seed: Random seed for augmented views.
        out: Of an archive (tars, Parquet files with images, URLs): the folder, or its URL, that gets a Parquet file
            of regions for each shard. Nothing is put into --cache then.
    """
    from promptmlr.archives import is_archive

    if more or archive.asked or is_archive(data):
        _cache_archive([data, *more], out, overwrite, views, tower, batch_size, reading, regions, archive)
        return
    from promptmlr.augmentation import Augmentation
    from promptmlr.features import stored_regions
    from promptmlr.features.extraction import size
    from promptmlr.opening import open_cache, open_data, open_tower
    from promptmlr.regions import FreshRegions

    chosen = open_cache(regions)
    if chosen is None:
        raise UserError("--no-cache stores nothing, which is all that `promptmlr cache` does; leave it out")
    labelled = open_data(data, "train", reading, Terminal())
    if labelled.features is not None:
        raise UserError(f"{labelled.source}: features were computed before; train on them as they are")
    fresh = FreshRegions(
        open_tower(data, tower, Terminal()),
        labelled.images,
        augmentation=None if views is None else Augmentation(order_seed, views),
        workers=tower.workers,
        skip_unreadable=reading.skip_unreadable,
    )
    stored = stored_regions(fresh, chosen, batch_size=batch_size, reporter=Terminal())
    if stored is None:
        raise EnvironmentFault("nothing was stored; name another place with --cache")
    readable, source = stored
    for error in fresh.unreadable.values():
        note(f"unreadable, left out: {error}")
    each = "" if views is None else f", {views} augmented views each"
    note(f"{len(readable)} images{each}, {size(source.nbytes)} in {source.store.folder}")
    same = regions.words() + ([] if views is None else [f"--views {views} and a recipe with augmentation"])
    if same:
        note(f"`promptmlr train` and `evaluate` find them with {', '.join(same)}")


def _cache_archive(
    sources: list[str],
    out: str,
    overwrite: bool,
    views: int | None,
    tower: NewTowerOptions,
    batch_size: int | None,
    reading: DataOptions,
    regions: CacheOptions,
    archive: ArchiveOptions,
) -> None:
    """The same of an archive, a file per shard."""
    from promptmlr.archives import Encoder, Job, Manifest, find_shards, process, share
    from promptmlr.opening import open_tower

    if views is not None:
        raise UserError("--views is about tables of images; of an archive, regions are stored of images as they are")
    backbone = open_tower("images", tower, Terminal())
    encoder = Encoder(backbone, regions.storage, batch_size=batch_size, workers=tower.workers)
    job = Job(encoder, Manifest(out, encoder.identity(), "parquet"), reading.image_column)
    shards = share(find_shards(sources), archive.shard)
    process(job, shards, archive, device=tower.device, overwrite=overwrite, reporter=Terminal())
