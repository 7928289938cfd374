"""Extraction in processes of its own: killed anywhere, and two at once."""

import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from promptmlr.backbone import load_backbone
from promptmlr.data.images import ImageFile, find_images
from promptmlr.features import RegionCache, RegionStore, open_regions
from promptmlr.features.store import RECORD_BYTES
from promptmlr.regions import FreshRegions, index_batches
from support import store_photos

COUNT = 60
Start = Callable[[str], BaseProcess]


@pytest.fixture
def start(tmp_path: Path, tiny_checkpoint: Path) -> Start:
    """Name → a process that fills `tmp_path/cache` with the regions of `tmp_path/photos` and leaves its notes."""
    (tmp_path / "photos").mkdir()
    for index in range(COUNT):
        pixels = np.random.default_rng(index).integers(0, 256, size=(20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{index:02d}.png")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support"])

    def begin(name: str) -> BaseProcess:
        arguments = (tiny_checkpoint, tmp_path / "photos", tmp_path / "cache", tmp_path / name)
        process = context.Process(target=store_photos, args=arguments)
        process.start()
        return process

    return begin


def stored_images(cache: Path) -> int:
    return sum(path.stat().st_size // RECORD_BYTES for path in cache.glob("*/index.bin"))


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.001)


def test_killed_at_random_points_and_finished(start: Start, tmp_path: Path, tiny_checkpoint: Path) -> None:
    cache, chance, kills = tmp_path / "cache", random.Random(3), 0
    for target in (1, 12, 13, 30):
        process = start("killed")
        wait_until(lambda target=target, process=process: stored_images(cache) >= target or not process.is_alive())
        time.sleep(chance.random() * 0.01)
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        assert stored_images(cache) >= target
    assert kills >= 3
    assert stored_images(cache) < COUNT

    backbone = load_backbone(tiny_checkpoint)
    images = [ImageFile(path) for path in find_images([tmp_path / "photos"])]
    assert len(RegionStore(cache, backbone, "float32").rows) >= 30
    fresh = FreshRegions(backbone, images)
    _, stored = open_regions(fresh, RegionCache(cache, "float32"))
    assert stored_images(cache) == COUNT  # nothing was made twice
    plan = index_batches(COUNT, 16)
    for (_, kept), (_, made) in zip(stored.batches(plan), fresh.batches(plan), strict=True):
        torch.testing.assert_close(kept, made, rtol=1e-5, atol=1e-5)


def test_two_at_once_share_the_work(start: Start, tmp_path: Path) -> None:
    first = start("first")
    wait_until(lambda: stored_images(tmp_path / "cache") > 0)
    second = start("second")
    for process in (first, second):
        process.join(60)
        assert process.exitcode == 0
    assert stored_images(tmp_path / "cache") == COUNT
    assert "to be kept in" in (tmp_path / "first").read_text()
    assert "to be kept in" not in (tmp_path / "second").read_text()
