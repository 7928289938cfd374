"""`promptmlr export`, `runs` and `train --log` through the command line."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import promptmlr as pm
from promptmlr.export import checking
from support import csv_rows


@pytest.fixture
def run(run_folders: list[Path]) -> Path:
    """A run of all drawn classes."""
    return run_folders[0]


@pytest.mark.slow
def test_a_file_from_the_command_line(promptmlr, run: Path, photos: Path, monkeypatch) -> None:
    monkeypatch.setattr(checking, "TIMED_ROUNDS", 3)
    out = photos / "run.onnx"
    table = photos / "labels.csv"
    (photos / "photos" / "broken.jpg").write_bytes(b"broken")
    options = ("--input", "rgb", "--int8", "--calibrate", photos / "photos", "--check", table)
    done = promptmlr("export", run, "--to", "onnx", "--out", out, *options)
    assert done.code == 0, done.err
    assert "PyTorch: mAP" in done.out
    assert "ONNX 8 bits: mAP" in done.out
    assert "8 bits, static: " in done.out
    assert "times as fast on this CPU (medians" in done.out
    session = onnxruntime.InferenceSession(out)
    said = session.get_modelmeta().custom_metadata_map
    names, thresholds = json.loads(said["class_names"]), json.loads(said["thresholds"])
    photo = np.asarray(Image.open(photos / "photos" / "00.png").convert("RGB")).transpose(2, 0, 1)
    found = session.run(None, {"images": photo[None]})[0][0]
    wanted = pm.load_run(run).predict(photos / "photos" / "00.png")[0]
    assert len(names) == len(thresholds) == len(found) == len(wanted)
    assert np.abs(found - wanted).max() < 0.3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--to", "onnx", "--out", "run.pb"), "ends in .onnx"),
        (("--to", "onnx", "--out", "there.onnx"), "--overwrite"),
        (("--to", "onnx", "--out", "run.onnx", "--calibrate", "photos"), "about --int8"),
        (("--to", "onnx", "--out", "run.onnx", "--int8", "--calibrate", "nowhere"), "no such file"),
        (("--to", "hub", "--out", "folder", "--int8"), "about --to onnx"),
        (("--to", "hub", "--out", "photos"), "exists already"),
        (("--to", "coreml", "--out", "x"), "coreml"),
    ],
)
def test_what_cannot_be_is_one_line(promptmlr, run: Path, photos: Path, monkeypatch, arguments, complaint) -> None:
    monkeypatch.chdir(photos)
    Path("there.onnx").write_text("mine")
    before = sorted(photos.iterdir())
    done = promptmlr("export", run, *arguments)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert complaint in done.err
    assert sorted(photos.iterdir()) == before
    assert Path("there.onnx").read_text() == "mine"


def test_without_the_extra_one_line_says_how_to_get_it(promptmlr, run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = promptmlr("export", run, "--to", "onnx", "--out", tmp_path / "run.onnx")
    assert done.code == 2
    assert "pip install 'promptmlr[export]'" in done.err.splitlines()[-1]


def test_a_folder_for_the_hub_is_a_run(promptmlr, run: Path, photos: Path) -> None:
    folder = photos / "hub"
    assert promptmlr("export", run, "--to", "hub", "--out", folder).code == 0
    assert (folder / "README.md").read_text().startswith("---\nlibrary_name: promptmlr\n")
    assert "mask.npy" not in {path.name for path in folder.iterdir()}
    images = sorted((photos / "photos").iterdir())[:3]
    assert np.array_equal(pm.load_run(folder).predict(images), pm.load_run(run).predict(images))


def test_runs_are_listed_and_compared(promptmlr, run: Path, photos: Path) -> None:
    trained = ("train", photos / "labels.csv", "--out", photos / "own", "--backbone", "scenes", "--epochs", "2")
    assert promptmlr(*trained, "--log", "tensorboard", "--no-cache", "--workers", "0").code == 0
    assert list((photos / "own" / "tensorboard").glob("events.out.*"))
    (photos / "own" / "weights.safetensors").rename(photos / "weights")
    (photos / "runs").mkdir()
    shutil.copytree(run, photos / "runs" / "scenes")
    listed = promptmlr("runs", photos, "--sort", "map", "--out", photos / "list.csv")
    compared = promptmlr("runs", photos / "runs", "--compare", "scenes,../runs/scenes")
    assert listed.code == compared.code == 0
    assert "runs/scenes" in listed.out
    assert f"left out: {photos / 'own'} is no whole run folder" in listed.err
    assert [row["run"] for row in csv_rows(photos / "list.csv")] == ["runs/scenes"]
    assert "no setting differs" in compared.out
