"""Where regions are stored, so that each image is encoded once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from promptmlr.options.base import Options

__all__ = ["CacheOptions"]


@dataclass(frozen=True)
class CacheOptions(Options):
    """The store of regions.

    Attributes:
        cache: Folder of stored regions. (default: the variable PROMPTMLR_CACHE, or promptmlr in the user's cache
            folder)
        no_cache: Neither store regions nor use stored ones.
        storage: Number format of stored regions.
        cache_key: How to recognise images whose regions are stored: by path, size and time of change (file), or by
            their bytes (content).
    """

    cache: Path | None = None
    no_cache: bool = False
    storage: Literal["float16", "float32", "bfloat16", "int8"] = "float16"
    cache_key: Literal["file", "content"] = "file"

    def words(self) -> list[str]:
        """What other commands are to be told to find the same regions."""
        words = [] if self.storage == "float16" else [f"--storage {self.storage}"]
        words += [] if self.cache is None else [f"--cache {self.cache}"]
        return words + (["--cache-key content"] if self.cache_key == "content" else [])
