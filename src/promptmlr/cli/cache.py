"""`promptmlr cache`: regions extracted beforehand, for all later runs."""

from typing import Annotated

import typer

from promptmlr.cli.options import (
    BackboneName,
    BatchSize,
    CacheFolder,
    CacheKey,
    CocoImages,
    Crowd,
    Data,
    Delimiter,
    Device,
    Difficult,
    Format,
    ImageFolder,
    ImageSize,
    OrderSeed,
    PrecisionOption,
    Pretrained,
    SkipUnreadable,
    Split,
    StorageFormat,
    Unlisted,
    Workers,
    cache_folder,
    data_options,
    open_tower,
    read_data,
)
from promptmlr.cli.progress import Terminal, note
from promptmlr.errors import EnvironmentFault, UserError

__all__ = ["cache"]


def cache(
    data: Data,
    backbone: BackboneName = None,
    pretrained: Pretrained = None,
    image_size: ImageSize = None,
    views: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Store that many augmented views of each image, for `train --views`. (default: images as they are)",
            show_default=False,
        ),
    ] = None,
    order_seed: OrderSeed = 0,
    storage: StorageFormat = "float16",
    cache: CacheFolder = None,
    cache_key: CacheKey = "file",
    split: Split = None,
    format: Format = None,  # noqa: A002
    images: ImageFolder = None,
    difficult: Difficult = "skip",
    coco_images: CocoImages = "annotated",
    crowd: Crowd = "present",
    unlisted: Unlisted = None,
    delimiter: Delimiter = None,
    skip_unreadable: SkipUnreadable = False,
    precision: PrecisionOption = "auto",
    device: Device = "cpu",
    batch_size: BatchSize = None,
    workers: Workers = 2,
) -> None:
    """Encode images once and keep their regions; `train` and `evaluate` find them there, and else do it themselves."""
    from promptmlr.augmentation import Augmentation
    from promptmlr.features import RegionCache, stored_regions
    from promptmlr.features.extraction import size
    from promptmlr.regions import FreshRegions

    options = data_options(difficult, coco_images, crowd, unlisted, delimiter, skip_unreadable)
    labelled = read_data(data, split, "train", format, images, options)
    if labelled.features is not None:
        raise UserError(f"{labelled.source}: features were computed before; train on them as they are")
    tower = open_tower(data, backbone, pretrained, image_size, precision, device)
    augmentation = None if views is None else Augmentation(order_seed, views)
    fresh = FreshRegions(
        tower, labelled.images, augmentation=augmentation, workers=workers, skip_unreadable=skip_unreadable
    )
    chosen = RegionCache(cache_folder(cache), storage, by_content=cache_key == "content")
    stored = stored_regions(fresh, chosen, batch_size=batch_size, reporter=Terminal())
    if stored is None:
        raise EnvironmentFault("nothing was stored; name another place with --cache")
    readable, source = stored
    for error in fresh.unreadable.values():
        note(f"unreadable, left out: {error}")
    each = "" if views is None else f", {views} augmented views each"
    note(f"{len(readable)} images{each}, {size(source.nbytes)} in {source.store.folder}")
    same = [f"--storage {storage}"] if storage != "float16" else []
    same += [f"--cache {cache}"] if cache is not None else []
    same += ["--cache-key content"] if cache_key == "content" else []
    same += [f"--views {views} and a recipe with augmentation"] if views is not None else []
    if same:
        note(f"`promptmlr train` and `evaluate` find them with {', '.join(same)}")
