"""Paths and helpers that tests import."""

from pathlib import Path

import pytest
import torch

from promptmlr.backbone import load_backbone
from promptmlr.data.images import ImageFile, find_images
from promptmlr.features import RegionCache, stored_regions
from promptmlr.regions import FreshRegions
from promptmlr.reporting import Reporter

SHARED = Path(__file__).resolve().parents[2] / "shared"


def require_shared(*parts: str) -> Path:
    """A path below ../shared, or a skip that says so."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"../shared/{'/'.join(parts)} is not beside the project")
    return path


class Heard(Reporter):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def store_photos(checkpoint: Path, photos: Path, cache: Path, notes: Path) -> None:
    """Fill a store one image at a time: what a test starts as a process of its own, and kills."""
    torch.set_num_threads(1)
    heard = Heard()
    images = [ImageFile(path) for path in find_images([photos])]
    fresh = FreshRegions(load_backbone(checkpoint), images, workers=1)
    stored_regions(fresh, RegionCache(cache, "float32"), batch_size=1, reporter=heard)
    notes.write_text("\n".join(heard.notes))
