"""`--regions` and `--crops` through the command line: what a run was trained with is what it predicts with."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

import promptmlr as pm
from promptmlr.errors import UserError
from support import csv_rows

TRAIN = ("--backbone", "vit.safetensors", "--epochs", "1", "--method", "dualembedding", "--out", "runs/x")


@pytest.fixture
def beside_a_vit(photos: Path, tiny_vit, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_file(tiny_vit, photos / "vit.safetensors")
    monkeypatch.chdir(photos)
    return photos


def test_a_run_sees_new_images_as_it_saw_those_of_its_training(promptmlr, beside_a_vit: Path) -> None:
    done = promptmlr("train", "labels.csv", *TRAIN, "--regions", "clear", "--crops", "2")
    assert done.code == 0, done.err
    backbone = json.loads(Path("runs/x/config.json").read_text(encoding="utf-8"))["backbone"]
    assert (backbone["regions"], backbone["preprocessing"]["crops"]) == ("clear", 2)
    run = pm.load_run("runs/x")
    assert (run.backbone.way, run.backbone.regions) == ("clear", 14)
    done = promptmlr("predict", "runs/x", "photos", "--out", "predictions.csv")
    assert done.code == 0, done.err
    found = [float(row[run.class_names[0]]) for row in csv_rows(beside_a_vit / "predictions.csv")]
    names = [row["image"] for row in csv_rows(beside_a_vit / "predictions.csv")]
    np.testing.assert_allclose(found, run.predict(names)[:, 0], atol=1e-5)
    assert promptmlr("evaluate", "runs/x", "labels.csv").code == 0
    other = pm.load_run("runs/x")
    with pytest.raises(UserError, match="needs the regions of"):
        other.adopt(pm.load_backbone("vit.safetensors", regions="qk", crops=2))
    done = promptmlr("export", "runs/x", "--to", "onnx", "--out", "x.onnx")
    assert done.code == 2
    assert "sees tiles of its images (--crops 2)" in done.err
    assert "--to hub" in done.err


def test_a_run_that_says_nothing_of_regions_has_values(promptmlr, beside_a_vit: Path) -> None:
    """So were all runs before there was anything else; the default of new ones is another."""
    assert promptmlr("train", "labels.csv", *TRAIN, "--regions", "value").code == 0
    expected = pm.load_run("runs/x").predict(["photos/00.png"])
    path = Path("runs/x/config.json")
    config = json.loads(path.read_text(encoding="utf-8"))
    assert config["backbone"].pop("regions") == "value"
    assert "crops" in config["backbone"]["preprocessing"]
    del config["backbone"]["preprocessing"]["crops"]
    path.write_text(json.dumps(config), encoding="utf-8")
    old = pm.load_run("runs/x")
    np.testing.assert_array_equal(old.predict(["photos/00.png"]), expected)
    assert (old.backbone.way, old.backbone.tiles) == ("value", 0)
    assert pm.load_backbone("vit.safetensors").way != "value"
    assert promptmlr("evaluate", "runs/x", "labels.csv").code == 0


def test_maps_say_where_each_region_and_each_tile_lies(promptmlr, beside_a_vit: Path) -> None:
    asked = ("explain", "vit.safetensors", "photos/00.png", "--classes", "tree")
    assert promptmlr(*asked, "--out", "plain.png").code == 0
    done = promptmlr(*asked, "--crops", "2", "--out", "maps.png", "--report", "page.html")
    assert done.code == 0, done.err
    for row, plain in zip(csv_rows(Path("maps.maps.csv")), csv_rows(Path("plain.maps.csv")), strict=True):
        tiles = [key for key in row if key.startswith("tile")]
        assert tiles[1:3] == ["tile from 33,0 to 100,67 %", "tile from 0,33 to 67,100 %"]
        assert len(tiles) == 4
        assert [key for key in row if key not in tiles] == list(plain)
        for key in ("global", "row 0 column 0", "row 2 column 1", "correlation"):
            assert float(row[key]) == pytest.approx(float(plain[key]), abs=1e-4)
    assert "those of 4 tiles, which overlap" in Path("page.html").read_text(encoding="utf-8")
    done = promptmlr("explain", "vit.safetensors", "labels.csv", "--crops", "2", "--out", "all.csv")
    assert done.code == 0, done.err


def test_the_estimator_takes_both(beside_a_vit: Path, tmp_path: Path) -> None:
    rows = csv_rows(beside_a_vit / "labels.csv")[:12]
    y = [[index % 2, float("nan") if index % 3 else 1.0] for index in range(12)]
    seen = {"backbone": "vit.safetensors", "regions": "qk", "crops": 2}
    recognizer = pm.MultiLabelRecognizer("dualembedding", **seen, class_names=["a", "b"], epochs=1, cache=False)
    recognizer.fit([row["image"] for row in rows], y).save(tmp_path / "saved")
    again = pm.MultiLabelRecognizer.load(tmp_path / "saved")
    assert (again.regions, again.crops) == ("qk", 2)
    images = [row["image"] for row in rows[:2]]
    np.testing.assert_allclose(again.predict_proba(images), recognizer.predict_proba(images), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--backbone", "scenes", "--regions", "qk"), "--regions qk is not known of scenes: its attention pool"),
        (("--backbone", "scenes", "--crops", "1"), "--crops 1: give 0, or from 2 to 8"),
        (("--backbone", "scenes", "--regions", "sharp"), "sharp"),
    ],
)
def test_what_a_tower_cannot_give_is_one_line(promptmlr, beside_a_vit: Path, options, complaint) -> None:
    done = promptmlr("train", "labels.csv", *options, "--epochs", "1", "--out", "runs/y")
    assert done.code == 2
    assert complaint in done.err
