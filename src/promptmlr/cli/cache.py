"""`promptmlr cache`: regions extracted beforehand, for all later runs."""

from promptmlr.cli.options import Batch, Cache, Data, NewTower, NonNegativeInt, PositiveInt, Reading
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions

__all__ = ["cache"]


def cache(
    data: Data,
    /,
    *,
    views: PositiveInt | None = None,
    order_seed: NonNegativeInt = 0,
    tower: NewTower = NewTowerOptions(),
    batch_size: Batch = None,
    reading: Reading = DataOptions(),
    regions: Cache = CacheOptions(),
) -> None:
    """Encode images ahead of time. `train` and `evaluate` do this themselves if you skip it.

    Args:
        views: Store this many augmented views of each image, for `train --views`. (default: the images themselves)
        order_seed: Random seed for augmented views.
    """
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
