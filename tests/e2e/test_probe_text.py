"""`promptmlr probe-text`, with images and without."""

import json
from pathlib import Path

import numpy as np
import pytest

from promptmlr.scenes import CLASS_NAMES
from support import csv_rows


def test_on_labelled_images(promptmlr, photos: Path, scenes_backbone) -> None:
    out = photos / "probe"
    done = promptmlr(
        "probe-text", photos / "labels.csv", "--backbone", "scenes", "--split", "test", "--workers", 0, "--out", out
    )
    assert done.code == 0, done.err
    classes = csv_rows(out / "classes.csv")
    assert [row["class"] for row in classes] == list(CLASS_NAMES[:5])
    a, b = scenes_backbone.encode_text(["photo of a tree", "Not a photo of a tree"])
    assert float(classes[0]["positive_negative"]) == pytest.approx(float(a @ b / a.norm() / b.norm()), abs=1e-5)
    aucs = {(row["sentence"], row["scope"]): float(row["mean"]) for row in csv_rows(out / "auc.csv")}
    assert aucs["a photo of a {}", "local"] > 0.6  # the miniature knows its classes
    assert f"{aucs['no {}', 'local']:.3f}" in done.out
    column = [float(row["auc of 'no {}', local"] or "nan") for row in classes]
    assert np.nanmean(column) == pytest.approx(aucs["no {}", "local"])
    settings = json.loads((out / "settings.json").read_text())
    assert settings["backbone"]["name"] == "scenes"
    assert settings["templates"]["negative"] == ["Not a photo of a {}"]


def test_without_images_only_cosines_are_printed(promptmlr) -> None:
    done = promptmlr("probe-text", "--backbone", "scenes")
    assert done.code == 0, done.err
    assert f"over {len(CLASS_NAMES)} classes" in done.out
    assert "AUC" not in done.out
    done = promptmlr("probe-text", "--backbone", "scenes", "--classes", "dog,cat", "--templates", "imagenet")
    assert "over 2 classes" in done.out
    assert "0.56 ± 0.06 (0.37 to 0.67)" in done.out


def test_mistakes_are_one_line(promptmlr, photos: Path) -> None:
    for arguments, word in (
        ((photos / "labels.csv", "--classes", "dog", "--backbone", "scenes"), "--classes"),
        (("--classes", "dog", "--backbone", "scenes"), "two classes"),
        ((photos / "none.csv", "--backbone", "scenes"), "none.csv"),
    ):
        done = promptmlr("probe-text", *arguments)
        assert (done.code, done.err.strip().count("\n")) == (2, 0), done.err
        assert word in done.err
