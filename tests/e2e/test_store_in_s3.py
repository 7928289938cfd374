"""Regions in an object store: trained on from there as from a folder, and what goes wrong is a line."""

from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from promptmlr.pipeline import observed
from s3_support import bucket as bucket
from s3_support import forget
from s3_support import server as server

SMALL = ("--backbone", "scenes", "--epochs", "3", "--batch-size", "8", "--workers", "0")
THERE = ("--cache", "s3://photos/regions", "--cache-shard-size", "40kB")


@pytest.fixture
def here(photos: Path, tmp_path: Path, monkeypatch) -> Path:
    """The current folder; copies of shards lie in `copies`."""
    monkeypatch.chdir(photos)
    monkeypatch.setenv("PROMPTMLR_CACHE", str(tmp_path / "cache"))
    return photos


def weights(run: str) -> dict[str, torch.Tensor]:
    return load_file(Path(run) / "weights.safetensors")


def line(done, code: int) -> str:
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    return done.err.strip().splitlines()[-1]


def test_a_run_on_regions_in_a_bucket_is_the_run_on_a_folder(promptmlr, here: Path, bucket) -> None:
    assert promptmlr("train", "labels.csv", "--out", "local", *SMALL, "--cache", "regions").code == 0
    done = promptmlr("train", "labels.csv", "--out", "remote", *SMALL, *THERE)
    assert done.code == 0, done.err
    assert "to be kept in s3://photos/regions/" in done.err
    one, other = weights("local"), weights("remote")
    assert all(torch.equal(one[name], other[name]) for name in one)
    sizes = [fsspec.filesystem("s3").size(name) for name in fsspec.filesystem("s3").glob("photos/regions/*/regions-*")]
    assert len(sizes) > 2
    assert max(sizes) <= 40_000
    forget()
    again = promptmlr("train", "labels.csv", "--out", "again", *SMALL, *THERE)
    assert again.code == 0, again.err
    assert "encoding" not in again.err


def test_interrupted_and_resumed_by_shard(promptmlr, here: Path, bucket, monkeypatch) -> None:
    from support import interrupt_after

    by_shard = (*SMALL, *THERE, "--sampling", "shards", "--method", "positivecoop", "--dtype", "float32")
    assert promptmlr("train", "labels.csv", "--out", "whole", *by_shard).code == 0
    with monkeypatch.context() as patch:
        interrupt_after(2, patch)
        assert promptmlr("train", "labels.csv", "--out", "stopped", *by_shard).code == 130
    other = promptmlr("train", "labels.csv", "--out", "stopped", *by_shard, "--resume", "--sampling", "shuffle")
    assert "went through its images in another order" in line(other, 2)
    done = promptmlr("train", "labels.csv", "--out", "stopped", *by_shard, "--resume")
    assert done.code == 0, done.err
    one, other = weights("whole"), weights("stopped")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_images_without_a_known_label_are_not_even_opened(promptmlr, here: Path, bucket, monkeypatch) -> None:
    monkeypatch.setattr(observed, "MARGINS_SAMPLE", 10)
    header, *rows = Path("labels.csv").read_text().splitlines()
    for index in range(20):
        Path(f"photos/broken-{index}.png").write_bytes(b"no picture")
    blank = [f"photos/broken-{index}.png,train{',' * (header.count(',') - 1)}" for index in range(20)]
    Path("more.csv").write_text("\n".join([header, *rows, *blank]) + "\n")
    assert "broken-0.png" in line(promptmlr("train", "more.csv", "--out", "run", *SMALL), 2)
    done = promptmlr("train", "more.csv", "--out", "run", *SMALL, *THERE)
    assert done.code == 0, done.err
    assert np.load("run/mask.npy").shape[0] == len(rows) - 16 + 20


def test_mistakes_are_a_line(promptmlr, here: Path, bucket) -> None:
    def refused(*more: str) -> str:
        return line(promptmlr("train", "labels.csv", "--out", "run", *SMALL, *more), 2)

    assert "there is no bucket 'nobody'" in refused("--cache", "s3://nobody/regions")
    assert "--cache-size a lot: write a size such as 500MB or 2GiB" in refused("--cache-size", "a lot")
    assert "known: " in refused("--cache", "nowhere://photos/regions")
    assert promptmlr("cache", "labels.csv", "--backbone", "scenes", *THERE).code == 0
    assert "--cache-size is 1,000 bytes, and one shard has" in refused(*THERE, "--cache-size", "1kB")
    assert "sampling by shard needs" in refused(*THERE, "--cache-size", "50kB", "--sampling", "shards")
    bucket("reset-auth", "0")
    forget()
    assert "access is refused" in refused(*THERE)
