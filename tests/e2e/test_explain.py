"""`promptmlr explain`: one image, and a data set, through a run and through a bare backbone."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from promptmlr import load_run
from promptmlr.scenes import CLASS_NAMES
from support import csv_rows

NAMES = CLASS_NAMES[:5]
TINY_VIT = {
    "embed_dim": 96,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 48, "layers": 2, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}
CELL = re.compile(r"row (\d+) column (\d+)")


def cells(row: dict[str, str]) -> np.ndarray:
    """(R,) of a row of maps."""
    return np.array([float(row["global"]), *(float(value) for key, value in row.items() if CELL.match(key))])


def regions_of(backbone, path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        pixels = backbone.preprocessing.pixels(image.convert("RGB"))[None]
    return backbone.encode_image(backbone.preprocessing.normalise(pixels))


def test_a_folder_of_open_clips_is_a_bare_backbone(promptmlr, photos: Path, tiny_vit, monkeypatch) -> None:
    save_file(tiny_vit, photos / "open_clip_model.safetensors")
    (photos / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY_VIT}))
    save_file(tiny_vit, photos / "vit.safetensors")
    monkeypatch.chdir(photos)
    found = []
    for name in ("local-dir:.", "vit.safetensors"):
        done = promptmlr("explain", name, "photos/00.png", "--classes", "tree", "--out", "maps.png", "--overwrite")
        assert done.code == 0, done.err
        found.append(np.stack([cells(row) for row in csv_rows(Path("maps.maps.csv"))]))
    assert found[0].std() > 0
    np.testing.assert_array_equal(*found)
    done = promptmlr("explain", "hf-hub:", "photos/00.png", "--classes", "tree")
    assert "write hf-hub:owner/name" in done.err


def test_an_image_through_a_bare_backbone(promptmlr, photos: Path, scenes_backbone) -> None:
    wide = photos / "wide.png"
    with Image.open(photos / "photos" / "00.png") as image:
        image.resize((300, 120)).save(wide)
    out, page = photos / "out" / "maps.png", photos / "out" / "page.html"
    options = ("--classes", "tree, car", "--captions", "there is no tree", "--captions", "a $5 car", "--out", out)
    done = promptmlr("explain", "scenes", wide, *options, "--report", page)
    assert done.code == 0, done.err
    kept = csv_rows(photos / "out" / "maps.maps.csv")
    sentences = [f"{start} of a {name}." for name in ("tree", "car") for start in ("a photo", "not a photo")]
    captions = ["there is no tree", "a $5 car"]
    assert [row["shown as"].strip("“”") for row in kept] == [*sentences, *captions]
    features = scenes_backbone.encode_text([*sentences, *captions])
    regions = regions_of(scenes_backbone, wide)[0]
    expected = 20 * torch.cosine_similarity(features[:, None], regions[None], dim=-1)
    np.testing.assert_allclose(np.stack([cells(row) for row in kept]), expected.numpy(), atol=1e-4)
    correlation = np.corrcoef(cells(kept[2])[1:], cells(kept[3])[1:])[0, 1]
    assert float(kept[2]["correlation"]) == pytest.approx(correlation, abs=1e-4)
    assert re.search(rf"^car +– +{correlation:.2f} ", done.out, re.MULTILINE)
    with Image.open(out) as picture:
        assert (picture.format, picture.width) == ("PNG", 1400)
    text = page.read_text(encoding="utf-8")
    assert re.search(r'alt="[^"]*wide\.png[^"]*tree, car[^"]*“there is no tree”', text)
    assert "maps.maps.csv" in text
    assert f'<td class="number">{correlation:.2f}</td>' in text
    assert not re.search(r"https?:|<script |<link", text)


def test_an_image_through_a_run_shows_its_most_probable_classes(
    promptmlr, photos: Path, run: Path, monkeypatch
) -> None:
    monkeypatch.chdir(photos)
    image = photos / "photos" / "40.png"
    done = promptmlr("explain", run, image)
    assert done.code == 0, done.err
    assert (photos / "explain.png").is_file()
    loaded = load_run(run)
    probabilities = loaded.predict(image)[0]
    kept = csv_rows(photos / "explain.maps.csv")
    shown = [NAMES[index] for index in np.argsort(-probabilities)[:3]]
    assert [(row["class"], row["side"]) for row in kept] == [
        (name, side) for name in shown for side in ("presence", "absence")
    ]
    assert re.search(rf"^{shown[0]} +{probabilities.max():.2f} ", done.out, re.MULTILINE)
    with torch.no_grad():
        maps = loaded.recognizer.maps(regions_of(loaded.backbone, image))
    for row in kept:
        side = maps[("presence", "absence").index(row["side"])][0, NAMES.index(row["class"])]
        np.testing.assert_allclose(cells(row), side.numpy(), atol=1e-4)


def test_a_data_set_through_a_run(promptmlr, photos: Path, run: Path) -> None:
    out, page = photos / "out" / "agreement.csv", photos / "out" / "page.html"
    options = ("--out", out, "--report", page, "--resamples", 100, "--workers", 0, "--storage", "float32")
    done = promptmlr("explain", run, photos / "labels.csv", "--classes", "house,car", *options)
    assert done.code == 0, done.err
    kept = csv_rows(out)
    assert [(row["scope"], row["class"], row["label"]) for row in kept] == [
        (*scope, label)
        for label in ("present", "absent")
        for scope in (("mean", ""), ("class", "house"), ("class", "car"))
    ]
    loaded = load_run(run)
    expected = []
    labels = [row for row in csv_rows(photos / "labels.csv") if row["split"] == "test"]
    for row in labels:
        if row["car"] == "1":
            with torch.no_grad():
                presence, absence = loaded.recognizer.maps(regions_of(loaded.backbone, photos / row["image"]))
            others = [np.corrcoef(presence[0, 3, 1:], presence[0, c, 1:])[0, 1] for c in (0, 1, 2, 4)]
            expected.append((np.corrcoef(presence[0, 3, 1:], absence[0, 3, 1:])[0, 1], np.mean(others)))
    value, other = np.mean(expected, axis=0)
    assert int(kept[2]["images"]) == len(expected) > 1
    assert float(kept[2]["correlation"]) == pytest.approx(value, abs=1e-4)
    assert float(kept[2]["other_correlation"]) == pytest.approx(other, abs=1e-4)  # of all classes, shown or not
    assert float(kept[2]["correlation_low"]) <= value + 1e-4
    mean = np.mean([float(row["correlation"]) for row in kept[1:3]])
    assert float(kept[0]["correlation"]) == pytest.approx(mean, abs=1e-6)
    assert re.search(rf"^with the class +correlation +{mean:.2f} \(", done.out, re.MULTILINE)
    text = page.read_text(encoding="utf-8")
    assert text.count("<img ") == 2
    assert f'<td class="number">{mean:.2f} (' in text
    assert str(out) in text


def test_a_data_set_through_a_bare_backbone(promptmlr, photos: Path, monkeypatch) -> None:
    monkeypatch.chdir(photos)
    done = promptmlr("explain", "scenes", "labels.csv", "--templates", "imagenet", "--top-share", 0.5, "--workers", 0)
    assert done.code == 0, done.err
    kept = csv_rows(photos / "explain.csv")
    assert [row["class"] for row in kept[1:6]] == list(NAMES)
    assert "80 sentences of “X”" in done.out
    assert "50 % of them" in done.out


def test_a_run_meets_data_that_knows_other_classes(promptmlr, photos: Path, run: Path) -> None:
    table = photos / "few.csv"
    table.write_text("image,car,comet\nphotos/40.png,1,0\nphotos/41.png,0,1\n", encoding="utf-8")
    done = promptmlr("explain", run, table, "--workers", 0, "--out", photos / "few-agreement.csv")
    assert done.code == 0, done.err
    assert "no classes of the run, so not read: comet" in done.err
    assert {row["class"] for row in csv_rows(photos / "few-agreement.csv")} == {"", "car"}


def test_mistakes_are_one_line_and_leave_nothing(promptmlr, photos: Path, run: Path, monkeypatch) -> None:
    monkeypatch.chdir(photos)
    Path("broken.png").write_bytes(b"\x89PNG broken")
    Path("runs").mkdir()
    before = sorted(photos.rglob("*"))
    image, table = "photos/00.png", "labels.csv"
    for arguments, word in (
        ((run, image, "--classes", "hose"), "did you mean 'house'"),
        ((run, table, "--classes", "hose"), "did you mean 'house'"),
        (("scenes", image), "--classes"),
        (("scenes", image, "--classes", "dog,dog"), "duplicate"),
        (("scenes", image, "--captions", "tree " * 99), "shorten it"),
        (("scenes", "broken.png", "--classes", "dog"), "broken.png"),
        (("scenes", "nowhere.png", "--classes", "dog"), "nowhere.png"),
        (("scenes", "photos"), "photos is no data set"),
        (("scenes", table, "--captions", "a dog"), "--captions"),
        (("scenes", image, "--classes", "dog", "--backbone", "RN50"), "--backbone"),
        (("RN102", image, "--classes", "dog"), "RN101"),
        (("runs/none", image), "runs/none"),
        (("runs", image), "config.json"),
        ((run, image, "--image-size", 64), "image size"),
        ((run, image, "--templates", "imagenet"), "sides"),
        ((run, image, "--top-share", 1.5), "1.5"),
        ((run, image, "--out", "maps.jpg"), ".png"),
        ((run, table, "--out", "maps.png"), ".csv"),
        ((run, image, "--out", image), "written over"),
        ((run, table, "--out", "./labels.csv"), "written over"),
    ):
        done = promptmlr("explain", *arguments)
        assert done.code == 2, (arguments, done.err)
        assert done.err.strip().splitlines()[-1].startswith("error: ")
        assert word in done.err.strip().splitlines()[-1], done.err
    assert sorted(photos.rglob("*")) == before
