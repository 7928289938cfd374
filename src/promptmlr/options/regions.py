"""Where regions are stored, so that each image is encoded once."""

from dataclasses import dataclass
from typing import Literal

from promptmlr.options.base import Options

__all__ = ["CacheOptions"]


@dataclass(frozen=True)
class CacheOptions(Options):
    """The store of regions.

    Attributes:
        cache: Folder of stored regions, or a URL, such as s3://bucket/regions. (default: the variable PROMPTMLR_CACHE,
            or promptmlr in the user's cache folder, where local copies of a URL's shards lie as well)
        no_cache: Neither store regions nor use stored ones.
        storage: Number format of stored regions.
        cache_key: How to recognise images whose regions are stored: by path, size and time of change (file), or by
            their bytes (content).
        cache_shard_size: Size of the files of a new store, such as 256MB. (default: 1GiB, at a URL 128MiB)
        cache_size: Most that local copies of a URL's shards take together.
        sampling: How an epoch goes through images: shuffle (all of them), or shards (eight random shards at a time,
            each read once). auto: shards, if the regions do not fit into memory.
    """

    cache: str | None = None
    no_cache: bool = False
    storage: Literal["float16", "float32", "bfloat16", "int8"] = "float16"
    cache_key: Literal["file", "content"] = "file"
    cache_shard_size: str | None = None
    cache_size: str = "20GB"
    sampling: Literal["auto", "shuffle", "shards"] = "auto"

    def words(self) -> list[str]:
        """What other commands are to be told to find the same regions."""
        words = [] if self.storage == "float16" else [f"--storage {self.storage}"]
        words += [] if self.cache is None else [f"--cache {self.cache}"]
        return words + (["--cache-key content"] if self.cache_key == "content" else [])
