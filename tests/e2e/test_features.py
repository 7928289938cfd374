"""Features instead of images, as a person uses them: every verb takes them or says in one line what to do instead."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import promptmlr as pm
from promptmlr.data import load_data
from support import csv_rows, require_shared

NAMES = ["tree", "house", "cloud"]
QUICK = ("--epochs", "2")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """`data.npz`: 60 rows of train with some labels blank, 40 of test; vectors are sums of their classes' texts."""
    rng = np.random.default_rng(0)
    text = np.eye(3, 8)
    there = rng.random((100, 3)) < 0.4
    labels = np.where(there, 1, 0)
    labels[:60][rng.random((60, 3)) < 0.3] = -1
    np.savez(
        tmp_path / "data.npz",
        features=there @ text + 0.2 * rng.normal(size=(100, 8)),
        labels=labels,
        class_names=NAMES,
        text=text,
        split=["train"] * 60 + ["test"] * 40,
    )
    return tmp_path / "data.npz"


def rewritten(path: Path, name: str, **changes: object) -> Path:
    """The file with changes; None takes a key out."""
    with np.load(path) as file:
        content = {key: file[key] for key in file.files} | changes
    np.savez(path.with_name(name), **{key: value for key, value in content.items() if value is not None})
    return path.with_name(name)


@pytest.fixture
def run(promptmlr, data: Path) -> Path:
    done = promptmlr("train", data, "--method", "baseline", "--out", data.with_name("run"))
    assert done.code == 0, done.err
    return data.with_name("run")


def test_train_evaluate_and_predict(promptmlr, data: Path, run: Path) -> None:
    done = promptmlr("evaluate", run, data)
    assert done.code == 0, done.err
    scores = json.loads((run / "evaluation.json").read_text())
    assert (scores["images"], scores["trained_on"]) == (40, False)
    assert scores["mean_ap"] > 0.8
    bare = rewritten(data, "bare.npz", labels=None, class_names=None, text=None, split=None)
    for out in ("rows.csv", "rows.parquet"):
        done = promptmlr("predict", run, bare, "--out", data.with_name(out), "--top", "1")
        assert done.code == 0, done.err
        assert "predicted: 100, unreadable: 0" in done.err
    found = csv_rows(data.with_name("rows.csv"))
    assert [row["image"] for row in found] == [f"bare.npz {row:02d}" for row in range(100)]
    loaded = pm.load_run(run)
    with np.load(data) as file:
        import torch

        wanted = loaded.probabilities(torch.from_numpy(file["features"][:, None]).float())
    np.testing.assert_allclose([[float(row[name]) for name in NAMES] for row in found], wanted, atol=1e-5)
    assert pq.read_table(data.with_name("rows.parquet")).column("image")[7].as_py() == "bare.npz 07"
    many = data.with_name("many.csv")
    assert promptmlr("predict", run, bare, data, "--out", many).code == 0
    assert len(csv_rows(many)) == 200


def test_features_can_be_suggested_from_audited_and_inspected(promptmlr, data: Path, run: Path) -> None:
    done = promptmlr("suggest", run, data, "-n", "5", "--out", data.with_name("next.csv"))
    assert done.code == 0, done.err
    train = load_data(str(data))
    for row in csv_rows(data.with_name("next.csv")):
        cell = train.labels[train.image_ids.index(row["image"]), train.class_names.index(row["class"])]
        assert cell == -1
    done = promptmlr("audit", run, data, "--out", data.with_name("label-quality.csv"))
    assert done.code == 0, done.err
    assert len(csv_rows(data.with_name("label-quality.csv"))) == (train.labels != -1).sum()
    done = promptmlr("learning-curve", data, "--method", "zeroshot", "--seeds", "2", "--shares", "0.3,0.6,1")
    assert done.code == 0, done.err
    assert "on 120 labels of images that no training saw" in " ".join(done.out.split())
    done = promptmlr("inspect", data, "--out", data.with_name("looked"))
    assert done.code == 0, done.err
    assert "by the cosine of the text features given" in " ".join(done.out.split())
    assert len(csv_rows(data.with_name("looked") / "cosines.csv")) == 3


def test_a_comparison_is_of_what_features_have(promptmlr, data: Path) -> None:
    out = data.with_name("compared")
    grid = ("--observed", "0.5,1", "--seeds", "1", *QUICK, "--out", out)
    done = promptmlr("compare", data, *grid)
    assert done.code == 0, done.err
    assert "left out, as they need a text tower: dualcoop, negativecoop, positivecoop" in done.err
    assert {"baseline", "dualembedding", "zeroshot"} <= {row["method"] for row in csv_rows(out / "cells.csv")}
    assert "given as features of width 8" in " ".join(done.out.split())
    with np.load(data) as file:
        rewritten(data, "data.npz", features=file["features"] * 2)
    again = promptmlr("compare", data, *grid)
    assert (again.code, "with another features" in again.err) == (2, True), again.err


def test_the_method_is_chosen_among_those_that_are_possible(promptmlr, data: Path) -> None:
    done = promptmlr("train", data, "--method", "auto", *QUICK, "--out", data.with_name("chosen"))
    assert done.code == 0, done.err
    tried = {row["method"] for row in csv_rows(data.with_name("chosen") / "methods.csv")}
    assert {"baseline", "dualembedding", "zeroshot"} <= tried
    assert not tried & {"dualcoop", "negativecoop", "positivecoop"}
    bare = rewritten(data, "no-text.npz", text=None)
    done = promptmlr("train", bare, "--method", "auto", *QUICK, "--out", data.with_name("linear"))
    assert done.code == 0, done.err
    assert {row["method"] for row in csv_rows(data.with_name("linear") / "methods.csv")} == {"baseline"}


def test_without_labels_it_is_zero_shot(promptmlr, data: Path) -> None:
    bare, out = rewritten(data, "bare.npz", labels=None), data.with_name("zero-shot")
    done = promptmlr("train", bare, "--out", out)
    assert done.code == 0, done.err
    done = promptmlr("predict", out, bare, "--out", data.with_name("rows.csv"))
    assert done.code == 0, done.err
    assert len(csv_rows(data.with_name("rows.csv"))) == 100


def test_a_test_file_of_its_own(promptmlr, data: Path, run: Path) -> None:
    for changes in ({"text": None}, {"class_names": NAMES[:2], "labels": np.ones((100, 2)), "text": None}):
        other = rewritten(data, "other.npz", split=None, **changes)
        done = promptmlr("evaluate", run, other, "--out", data.with_name("scores.json"))
        assert done.code == 0, done.err
    moved = rewritten(data, "moved.npz", text=np.ones((3, 8)))
    done = promptmlr("evaluate", run, moved)
    assert done.code == 2
    assert "give them the same `text`, or none" in done.err


def test_interrupted_training_goes_on_with_the_same_features_alone(promptmlr, data: Path, monkeypatch) -> None:
    from promptmlr.run import RunInProgress

    real = RunInProgress.save

    def stop(self, *args) -> None:
        real(self, *args)
        raise KeyboardInterrupt

    arguments = ("train", data, "--method", "baseline", *QUICK, "--out", data.with_name("long"))
    monkeypatch.setattr(RunInProgress, "save", stop)
    assert promptmlr(*arguments).code == 130
    monkeypatch.undo()
    with np.load(data) as file:
        features = file["features"]
    rewritten(data, "data.npz", features=features * 2)
    done = promptmlr(*arguments, "--resume")
    assert done.code == 2
    assert "data" in done.err
    rewritten(data, "data.npz", features=features)
    assert promptmlr(*arguments, "--resume").code == 0


REFUSED = [
    (("train", "DATA", "--out", "OUT", "--method", "dualcoop"), "prompts are learned through a text tower"),
    (("train", "DATA", "--out", "OUT", "--method", "zeroshot", "--backbone", "scenes"), "leave out --backbone"),
    (("train", "DATA", "--out", "OUT", "--method", "zeroshot", "--image-size", "64"), "leave out --image-size"),
    (("train", "DATA", "--out", "OUT", "--method", "baseline", "--recipe", "released"), "--recipe default"),
    (("train", "BARE", "--out", "OUT", "--method", "zeroshot"), "give them as `text`, (C, D), or take --method base"),
    (("compare", "DATA", "--out", "OUT", "--methods", "zeroshot,positivecoop"), "features come without one"),
    (("compare", "DATA", "--out", "OUT", "--design"), "features come without a text tower"),
    (("evaluate", "RUN", "PHOTOS/labels.csv"), "sees no images: give it features"),
    (("evaluate", "RUN", "DATA", "--backbone", "scenes"), "leave out --backbone"),
    (("predict", "RUN", "PHOTOS/photos", "--out", "OUT.csv"), "sees no images: give it features"),
    (("predict", "RUN", "DATA", "--out", "OUT.csv", "--backbone", "scenes"), "leave out --backbone"),
    (("predict", "DATA", "--classes", "dog,cat", "--out", "OUT.csv"), "`promptmlr train` makes a run of it"),
    (("predict", "RUN", "DATA", "--also", "forklift", "--out", "OUT.csv"), "features come without one"),
    (("explain", "RUN", "PHOTOS/photos/00.png"), "sees no images: give it features"),
    (("explain", "scenes", "DATA", "--format", "features"), "these are features: name a data set of images"),
    (("probe-text", "DATA", "--backbone", "scenes"), "these are features: name a data set of images"),
    (("export", "RUN", "--to", "onnx", "--out", "OUT.onnx"), "sees no images: give it features"),
    (("export", "RUN", "--to", "hub", "--out", "OUT"), "sees no images: give it features"),
    (("serve", "RUN"), "sees no images: give it features"),
    (("cache", "DATA"), "train on them as they are"),
    (("convert", "DATA", "OUT.csv", "--to", "csv"), "keep them as they are"),
    (("suggest", "RUN", "DATA", "--out", "OUT.json"), "name a .csv with --out"),
    (("inspect", "DATA", "--backbone", "scenes"), "leave out --backbone"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_needs_a_tower_is_refused_in_one_line(promptmlr, photos: Path, data, run, arguments, words) -> None:
    places = {
        "DATA": str(data),
        "BARE": str(rewritten(data, "bare.npz", text=None)),
        "RUN": str(run),
        "OUT": str(data.with_name("out")),
        "PHOTOS": str(photos),
    }
    for word, place in places.items():
        arguments = [place + one.removeprefix(word) if one.startswith(word) else one for one in arguments]
    before = sorted(path.name for path in data.parent.iterdir())
    done = promptmlr(*arguments)
    error = done.err.splitlines()[-1]
    assert (done.code, error.startswith("error: "), words in error) == (2, True, True), done.err
    assert sorted(path.name for path in data.parent.iterdir()) == before


def test_a_run_of_images_takes_no_features(promptmlr, photos: Path, data: Path) -> None:
    out = photos / "of-images"
    done = promptmlr("train", photos / "labels.csv", "--method", "zeroshot", "--backbone", "scenes", "--out", out)
    assert done.code == 0, done.err
    for verb in ("audit", "evaluate", "predict", "suggest"):
        done = promptmlr(verb, out, data)
        assert done.code == 2
        assert "was trained on images seen by scenes, and these are features" in done.err


def test_real_clip_features(promptmlr, tmp_path: Path) -> None:
    with np.load(require_shared("real-clip", "coco358-vitb32.npz")) as file:
        kept = file["labels"].sum(axis=0) >= 10
        content = {key: file[key] for key in ("features", "fold", "image")}
        content |= {"labels": file["labels"][:, kept], "class_names": file["class_names"][kept]}
        np.savez(tmp_path / "coco.npz", text=file["text_a_photo_of"][kept], **content)
    assert load_data(str(tmp_path / "coco.npz")).labels.shape == (358, 42)
    done = promptmlr("train", tmp_path / "coco.npz", "--method", "zeroshot", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    done = promptmlr("evaluate", tmp_path / "run", tmp_path / "coco.npz", "--resamples", "0")
    assert done.code == 0, done.err
    # what was measured by other code, with the mean of all class texts for absence
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["mean_ap"] == pytest.approx(0.591, abs=0.0005)


def test_without_texts_a_comparison_has_no_zero_shot(promptmlr, data: Path) -> None:
    bare, out = rewritten(data, "bare.npz", text=None), data.with_name("compared")
    done = promptmlr("compare", bare, "--methods", "baseline", "--observed", "1", "--seeds", "1", *QUICK, "--out", out)
    assert done.code == 0, done.err
    assert {row["method"] for row in csv_rows(out / "cells.csv")} == {"baseline"}


def test_folds_of_the_file_score_a_comparison(promptmlr, data: Path) -> None:
    folded, out = rewritten(data, "folded.npz", split=None, fold=np.arange(100) % 4), data.with_name("compared")
    arguments = ("--methods", "baseline", "--observed", "1", "--seeds", "1", *QUICK, "--out", out)
    done = promptmlr("compare", folded, *arguments)
    assert done.code == 0, done.err
    assert "100 images in 4 folds" in done.err
    plain = promptmlr("compare", rewritten(folded, "plain.npz", fold=None), *arguments[:-1], data.with_name("other"))
    assert (plain.code, "a key or column `split` makes one" in plain.err) == (2, True), plain.err
