"""Regions kept on disk: extracted once, for every run that asks for the same images, tower and preprocessing."""

from promptmlr.features.source import (
    JobSettings,
    RegionCache,
    StoredRegions,
    default_cache_folder,
    open_regions,
    readable_regions,
    stored_regions,
)
from promptmlr.features.storage import STORAGES, RowFormat, Storage
from promptmlr.features.store import RegionStore

__all__ = [
    "STORAGES",
    "JobSettings",
    "RegionCache",
    "RegionStore",
    "RowFormat",
    "Storage",
    "StoredRegions",
    "default_cache_folder",
    "open_regions",
    "readable_regions",
    "stored_regions",
]
