"""The region store through the command line."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from promptmlr.run.state import write_state

ENCODED = "views of images once, to be kept in"
SMALL = ("--backbone", "scenes", "--epochs", "2", "--workers", "0")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "regions"


def test_regions_stored_beforehand_are_used(promptmlr, photos: Path, cache: Path) -> None:
    table = photos / "labels.csv"
    made = promptmlr("cache", table, "--backbone", "scenes", "--cache", cache, "--storage", "int8")
    assert made.code == 0, made.err
    assert f"encoding 32 {ENCODED} {cache}" in made.err
    assert "32 images" in made.err
    options = ("--cache", cache, "--storage", "int8")
    trained = promptmlr("train", table, "--out", photos / "run", *SMALL, *options)
    assert trained.code == 0, trained.err
    assert ENCODED not in trained.err
    evaluated = [promptmlr("evaluate", photos / "run", table, "--resamples", "0", *options) for _ in range(2)]
    assert [f"encoding 16 {ENCODED}" in outcome.err for outcome in evaluated] == [True, False]
    assert evaluated[0].out == evaluated[1].out


def test_a_tower_in_bfloat16_has_a_store_of_its_own(promptmlr, photos: Path, cache: Path) -> None:
    table, kept = photos / "labels.csv", ("--cache", cache, "--dtype")
    assert promptmlr("cache", table, "--backbone", "scenes", *kept, "bfloat16").code == 0
    trained = [
        promptmlr("train", table, "--out", photos / dtype, *SMALL, *kept, dtype) for dtype in ("bfloat16", "float32")
    ]
    assert [(run.code, ENCODED in run.err) for run in trained] == [(0, False), (0, True)]


def test_the_store_of_float32_trains_to_the_weights_of_no_store(promptmlr, photos: Path, cache: Path) -> None:
    kept = ("--cache", cache, "--storage", "float32")
    for select in ("last", "val", "test"):
        for name, options in (("stored", kept), ("again", kept), ("memory", ("--no-cache",))):
            out = photos / f"{name}-{select}"
            done = promptmlr("train", photos / "labels.csv", "--out", out, "--select", select, *SMALL, *options)
            assert done.code == 0, done.err
        expected = load_file(photos / f"memory-{select}" / "weights.safetensors")
        for name in ("stored", "again"):
            found = load_file(photos / f"{name}-{select}" / "weights.safetensors")
            for key, tensor in expected.items():
                assert torch.equal(tensor, found[key]), (name, key)


def test_no_cache_writes_none(promptmlr, photos: Path, cache: Path, monkeypatch) -> None:
    monkeypatch.setenv("PROMPTMLR_CACHE", str(cache))
    options = ("--out", photos / "run", "--no-cache", *SMALL)
    assert promptmlr("train", photos / "labels.csv", *options).code == 0
    assert promptmlr("evaluate", photos / "run", photos / "labels.csv", "--no-cache", "--resamples", "0").code == 0
    assert not cache.exists()
    assert promptmlr("evaluate", photos / "run", photos / "labels.csv", "--resamples", "0").code == 0
    assert len(list(cache.glob("*/index.bin"))) == 1


def test_views_are_stored_and_drawn_alike(promptmlr, photos: Path, cache: Path) -> None:
    recipe = photos / "views.toml"
    recipe.write_text(
        '[shared]\nstart = "text"\noffset = "none"\noptimizer = "adam"\ncontext_rate = 0.001\nembedding_rate = 0.02\n'
        'linear_rate = 0.001\nepochs = 2\naugmentation = "cutout+randaugment"\nviews = 2\n'
    )
    options = ("--recipe", recipe, "--backbone", "scenes", "--epochs", "3", "--no-calibrate")
    arguments = ("train", photos / "labels.csv", *options)  # to calibrate, images are shown as they are
    kept = ("--cache", cache, "--storage", "float32")
    stored = promptmlr("cache", photos / "labels.csv", "--backbone", "scenes", "--views", "2", *kept)
    assert stored.code == 0, stored.err
    assert f"encoding 64 {ENCODED}" in stored.err
    runs = {"stored": kept, "fresh": ("--no-cache",), "exact": ("--no-cache", "--views", "exact")}
    weights = {}
    for name, options in runs.items():
        done = promptmlr(*arguments, "--out", photos / name, *options)
        assert done.code == 0, done.err
        assert ENCODED not in done.err
        weights[name] = load_file(photos / name / "weights.safetensors")["learned.absence.embedding"]
    torch.testing.assert_close(weights["stored"], weights["fresh"], rtol=1e-4, atol=1e-4)
    assert (weights["stored"] - weights["exact"]).abs().max() > 1e-3


@pytest.mark.parametrize("views", ["0", "many", "-1"])
def test_a_number_of_views_that_is_none(promptmlr, photos: Path, views: str) -> None:
    refused = promptmlr("train", photos / "labels.csv", "--out", photos / "run", f"--views={views}", *SMALL)
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "views" in refused.err


def test_a_run_is_resumed_with_its_own_storage(promptmlr, photos: Path, cache: Path) -> None:
    arguments = ("train", photos / "labels.csv", "--out", photos / "run", "--cache", cache, *SMALL)
    assert promptmlr(*arguments).code == 0
    (photos / "run").rename(photos / "run.partial")
    refused = promptmlr(*arguments, "--resume", "--storage", "int8")
    assert refused.code == 2
    assert "another storage" in refused.err


def test_a_run_without_room_for_a_store_is_resumed_without(promptmlr, photos: Path, cache: Path, monkeypatch) -> None:
    """The regions of the second half are those of the first, or it is refused; the config says which they were."""
    arguments = ("train", photos / "labels.csv", "--out", photos / "run", "--cache", cache, *SMALL)
    with monkeypatch.context() as patch:
        patch.setattr("promptmlr.features.extraction.DISK_LEFT_FREE", 1 << 60)
        assert promptmlr(*arguments).code == 0
        config = json.loads((photos / "run" / "config.json").read_text())
        assert config["storage"] is None
        leave_unfinished(photos / "run")
        assert promptmlr(*arguments, "--resume").code == 0
    leave_unfinished(photos / "run")
    refused = promptmlr(*arguments, "--resume")
    assert refused.code == 2
    assert "that were not stored, and now they are stored as float16" in refused.err
    assert (photos / "run.partial").exists()


def leave_unfinished(run: Path) -> None:
    """As a run that was interrupted after its first epoch."""
    partial = run.rename(run.with_suffix(".partial"))
    lines = (partial / "metrics.jsonl").read_text().splitlines()
    tensors = load_file(partial / "weights.safetensors")
    learned = {key.removeprefix("learned."): one for key, one in tensors.items() if key.startswith("learned.")}
    counters = {"epoch": 1, "best_epoch": 0, "best_score": -1.0, "lines": lines[:1]}
    write_state(partial / "state.safetensors", {"learned": learned}, counters)


def test_a_place_that_cannot_hold_a_store(promptmlr, photos: Path) -> None:
    (photos / "file").write_text("")
    refused = promptmlr("cache", photos / "labels.csv", "--backbone", "scenes", "--cache", photos / "file" / "below")
    assert refused.code == 1
    assert refused.err.splitlines()[-1].startswith("error: ")
    assert "--cache" in refused.err


def test_without_a_home_nothing_is_stored_and_that_is_said(promptmlr, photos: Path, monkeypatch) -> None:
    """No HOME and a user without a name, as containers have; no folder called ~ comes to be, either."""
    for name in ("HOME", "PROMPTMLR_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    monkeypatch.chdir(photos)
    said = "no regions are stored: this user has no home folder; name a place with --cache"
    trained = promptmlr("train", "labels.csv", "--out", "run", *SMALL)
    evaluated = promptmlr("evaluate", "run", "labels.csv", "--resamples", "0")
    for done in (trained, evaluated):
        assert done.code == 0, done.err
        assert said in done.err
    stored = promptmlr("cache", "labels.csv", "--backbone", "scenes")
    assert stored.code == 1
    assert "nothing was stored" in stored.err
    assert {path.name for path in photos.iterdir()} == {"labels.csv", "photos", "run"}
