"""Two processes of torchrun, with gloo on the CPU, do what one does: to 1e-5 after 50 steps, and said once."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import several_processes
from promptmlr.run import load_run
from support import csv_rows

SRC = Path(__file__).parents[2] / "src"
TRAIN = ("train", "labels.csv", "--backbone", "scenes", "--dtype", "float32", "--epochs", "4", "--batch-size", "8")


def torchrun(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    python = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SRC)}
    command = [*python, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
def test_fifty_steps_of_every_kind_of_loss_and_prior(tmp_path: Path) -> None:
    done = torchrun(several_processes.__file__, tmp_path / "two.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    two, one = load_file(tmp_path / "two.safetensors"), several_processes.train_all()
    assert two.keys() == one.keys()
    assert {key.split("/")[0] for key in one} == set(several_processes.CASES)
    for name, tensor in one.items():
        torch.testing.assert_close(
            two[name], tensor, rtol=1e-5, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["anchored", "positivecoop"])
def test_a_run_is_the_run_of_one_process(promptmlr, photos: Path, monkeypatch, method: str) -> None:
    """From pixels to probabilities: an unreadable image, the store, the prior or folds to calibrate, one run folder."""
    monkeypatch.chdir(photos)
    (photos / "photos" / "03.png").write_bytes(b"no picture")
    rest = ("--method", method, "--skip-unreadable")
    alone = promptmlr(*TRAIN, *rest, "--out", "one", "--cache", "cache-one")
    assert alone.code == 0, alone.err
    done = torchrun("-m", "promptmlr", *TRAIN, *rest, "--out", "two", "--cache", "cache-two", cwd=photos)
    assert done.returncode == 0, done.stderr
    one, two = load_file("one/weights.safetensors"), load_file("two/weights.safetensors")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-5, atol=1e-5)
    assert {path.name for path in Path("one").iterdir()} == {path.name for path in Path("two").iterdir()}
    assert not list(photos.glob("two.partial*"))
    for name in ("regions-00000.bin", "index.bin", "unreadable.jsonl"):
        [first], [second] = Path("cache-one").glob(f"*/{name}"), Path("cache-two").glob(f"*/{name}")
        assert second.read_bytes() == first.read_bytes()
    said = [line for line in done.stderr.splitlines() if "training sees" in line or "unreadable, left" in line]
    assert len(said) == 2
    regions = torch.randn(4, 9, load_run("one").config.backbone.feature_width)
    np.testing.assert_allclose(
        load_run("two").probabilities(regions), load_run("one").probabilities(regions), atol=1e-5
    )
    assert len(csv_rows(Path("two/metrics.csv"))) == 4


@pytest.mark.slow
def test_mistakes_are_said_once(photos: Path) -> None:
    refused = torchrun("-m", "promptmlr", *TRAIN, "--out", "photos", cwd=photos)
    assert refused.returncode != 0
    errors = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert errors == ["error: photos exists already; name another folder with --out, or remove it"]
    refused = torchrun("-m", "promptmlr", "evaluate", "run", "labels.csv", cwd=photos)
    [error] = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert "torchrun is for `promptmlr train`" in error
