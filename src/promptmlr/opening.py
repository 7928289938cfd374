"""From options to what a job works on: the data read, the tower loaded, the regions found."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

from pydantic import ByteSize, TypeAdapter, ValidationError

from promptmlr.backbone import (
    DEFAULT_TOWER,
    MINIATURES,
    Backbone,
    PrecomputedFeatures,
    is_downloaded,
    open_backbone,
)
from promptmlr.data import LabelledImages, is_scenes, load_data
from promptmlr.data.options import Purpose
from promptmlr.errors import UserError
from promptmlr.features import JobSettings, RegionCache, default_cache_folder, readable_regions
from promptmlr.methods import METHODS, methods_on
from promptmlr.names import first_names
from promptmlr.options import CacheOptions, DataOptions, NewTowerOptions, TowerOptions
from promptmlr.regions import RegionSource
from promptmlr.reporting import Reporter
from promptmlr.run import Run, RunInProgress

__all__ = [
    "common_classes",
    "job_settings",
    "open_cache",
    "open_data",
    "open_images",
    "open_tower",
    "tower_of",
    "usable_methods",
]


def job_settings(regions: CacheOptions, reading: DataOptions, tower: TowerOptions, reporter: Reporter) -> JobSettings:
    """As options say."""
    return JobSettings(
        cache=open_cache(regions), skip_unreadable=reading.skip_unreadable, workers=tower.workers, reporter=reporter
    )


def open_data(
    data: str,
    purpose: Purpose,
    options: DataOptions,
    reporter: Reporter,
    like: Mapping[str, str | float] | None = None,
) -> LabelledImages:
    """`load_data`, and what was read is said."""
    labelled = load_data(data, purpose, options, like or {})
    for line in (labelled.source, *labelled.notes):
        reporter.note(line)
    return labelled


def open_tower(
    data: str,
    options: TowerOptions,
    reporter: Reporter,
    labelled: LabelledImages | None = None,
    resumed: str | Path | None = None,
    usual: tuple[str, str] = DEFAULT_TOWER,
) -> Backbone:
    """The frozen CLIP: the usual one, unless data or user say otherwise; for features what stands for it.

    Args:
        data: what it is to see, as `load_data` is told.
        options: which one; of `NewTowerOptions` also the image size and the number type.
        reporter: where to say what is downloaded, and what the miniature is for.
        labelled: the data, which may be features.
        resumed: the run that goes on, with the dtypes that it began with.
        usual: name and tag where neither is named.

    Raises:
        UserError: as `open_backbone`; or a backbone is named for features.
    """
    if labelled is not None and labelled.features is not None:
        return _given(labelled, options)
    name, pretrained = options.backbone, options.pretrained
    if name is None:
        name, tag = ("scenes", None) if is_scenes(data) else usual
        pretrained = pretrained or tag
    if is_downloaded(name, pretrained):
        which = f"{name} ({pretrained})" if pretrained else name
        reporter.note(f"{which}: the first time its weights are downloaded, some hundred megabytes")
    new = options if isinstance(options, NewTowerOptions) else NewTowerOptions()
    begun = None if resumed is None else RunInProgress.begun_dtypes(resumed)
    tower = open_backbone(
        name, pretrained, new.image_size, new.dtype or "auto", options.device, begun, new.regions, new.crops
    )
    if data and tower.name in MINIATURES and not is_scenes(data):
        reporter.note(
            "note: the miniature CLIP knows drawings alone; on photographs it shows that the program runs, and its "
            "scores mean nothing"
        )
    return tower


def tower_of(run: Run, labelled: LabelledImages, options: TowerOptions) -> Backbone:
    """The backbone of a run, loaded; or what stands for it where the data are features, once these fit the run.

    Raises:
        UserError: as `Run.use_backbone` and `Run.adopt`; or a backbone is named for features.
    """
    if labelled.features is None:
        return run.use_backbone(options.backbone, options.pretrained, options.device)
    given = _given(labelled, options)
    run.adopt(given)
    return given


def _given(labelled: LabelledImages, options: TowerOptions) -> Backbone:
    """What stands for the backbone of features."""
    assert labelled.features is not None
    for name in ("backbone", "pretrained", "image_size", "regions", "crops"):
        if getattr(options, name, None):
            raise UserError(
                f"{labelled.source}: features were computed before, so leave out --{name.replace('_', '-')}"
            )
    return PrecomputedFeatures(labelled.features.width, labelled.features.text, options.device)


def open_cache(options: CacheOptions) -> RegionCache | None:
    """Where and how regions are stored; None where they are not to be."""
    if options.no_cache:
        return None
    place = str(options.cache or os.environ.get("PROMPTMLR_CACHE") or "")
    url = place if "://" in place and not place.startswith("file://") else None
    return RegionCache(
        default_cache_folder() if url or not place else Path(place.removeprefix("file://")),
        options.storage,
        options.cache_key == "content",
        url,
        None if options.cache_shard_size is None else _bytes(options.cache_shard_size, "--cache-shard-size"),
        _bytes(options.cache_size, "--cache-size"),
        options.sampling,
    )


def _bytes(text: str, option: str) -> int:
    """A size as people write it."""
    try:
        size = int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        size = 0
    if size < 1:
        raise UserError(f"{option} {text}: write a size such as 500MB or 2GiB")
    return size


def open_images(
    labelled: LabelledImages, tower: Backbone, **settings: Unpack[JobSettings]
) -> tuple[LabelledImages, RegionSource]:
    """The images that can be read and their labels, with their regions from wherever they are cheapest.

    Raises:
        UnreadableImage: an image cannot be read, and is not to be left out.
    """
    kept, source = readable_regions(tower, labelled.images, **settings)
    return labelled.rows(kept), source


def common_classes(trained: Sequence[str], labelled: Sequence[str], reporter: Reporter) -> tuple[list[int], list[int]]:
    """Columns of the classes that both have, matched by name, in the run's order; others are said.

    Raises:
        UserError: there is none.
    """
    common = [name for name in trained if name in set(labelled)]
    if not common:
        raise UserError(
            f"the run knows none of the data's classes: {', '.join(trained[:5])} … against {', '.join(labelled[:5])} …"
        )
    for names, others, whose in ((trained, labelled, "the run's"), (labelled, trained, "the data's")):
        left_out = [name for name in names if name not in set(others)]
        if left_out:
            reporter.note(f"left out, only among {whose} classes: {first_names(left_out)}")
    return [list(trained).index(name) for name in common], [list(labelled).index(name) for name in common]


def usable_methods(tower: Backbone, reporter: Reporter) -> tuple[str, ...]:
    """All methods that a backbone has everything for; others are said."""
    usable = methods_on(tower)
    if left_out := [name for name in METHODS if name not in usable]:
        needed = "a text tower" if tower.has_class_features else "a text tower or text features"
        reporter.note(f"left out, as they need {needed}: {', '.join(left_out)}")
    return usable
