"""Nobody labelled anything: tags from class names alone, and a table without a known label."""

from pathlib import Path

import numpy as np
import pytest

import promptmlr as pm
from support import csv_rows

NAMES = ("tree", "house", "cloud", "car", "flower")
SCENES = ("--backbone", "scenes", "--workers", "0")


def probabilities(path: Path) -> np.ndarray:
    return np.array([[float(row[name]) for name in NAMES] for row in csv_rows(path)])


@pytest.fixture
def blank(photos: Path) -> Path:
    """A table of the photos in which every label is unknown."""
    path = photos / "blank.csv"
    names = sorted((photos / "photos").iterdir())
    lines = [f"photos/{name.name}" + "," * len(NAMES) for name in names]
    path.write_text("\n".join([",".join(("image", *NAMES)), *lines]) + "\n")
    return path


def test_a_folder_is_tagged_as_training_on_no_label_would_tag_it(promptmlr, photos: Path, blank: Path) -> None:
    tags, again = photos / "tags.csv", photos / "again.csv"
    done = promptmlr("predict", photos / "photos", "--classes", ",".join(NAMES), *SCENES, "--out", tags)
    assert done.code == 0, done.err
    [said] = [line for line in done.err.splitlines() if "unchecked" in line]
    assert "a class is assumed to be in 20 % of the images on average, which --share corrects" in said
    trained = promptmlr("train", blank, *SCENES, "--out", photos / "run")
    assert trained.code == 0, trained.err
    assert "no label is known: the run is CLIP's zero-shot as it is" in trained.err
    assert "in 20 % of the images on average, it is assumed; --share says better" in trained.err
    assert promptmlr("predict", photos / "run", photos / "photos", "--out", again, "--workers", "0").code == 0
    assert probabilities(tags) == pytest.approx(probabilities(again), abs=2e-3)  # its regions were stored as float16
    assert [row["image"] for row in csv_rows(tags)] == [row["image"] for row in csv_rows(again)]
    assert {row["labels"] for row in csv_rows(tags)} > {""}


def test_a_run_without_labels_is_a_run(promptmlr, photos: Path, blank: Path) -> None:
    run = photos / "run"
    assert promptmlr("train", blank, *SCENES, "--out", run, "--share", "0.1").code == 0
    found = pm.load_run(run)
    assert found.prior is not None
    assert (found.config.method, found.prior.level, found.config.data.known_labels) == ("anchored", "share", 0)
    done = promptmlr("evaluate", run, photos / "labels.csv", "--resamples", "0", "--workers", "0")
    assert done.code == 0, done.err
    assert "zero-shot" in done.out
    done = promptmlr("suggest", run, blank, "-n", "5", "--out", photos / "next.csv", "--workers", "0")
    assert done.code == 0, done.err
    assert len(csv_rows(photos / "next.csv")) == 5
    done = promptmlr("train", blank, "--method", "dualembedding", *SCENES, "--out", photos / "other")
    assert done.code == 2
    assert "so dualembedding without a prior has nothing to learn from" in done.err.splitlines()[-1]


def test_how_often_classes_are_there_may_be_known(promptmlr, photos: Path) -> None:
    (photos / "shares.csv").write_text("class,share\n" + "".join(f"{name},0.{k + 1}\n" for k, name in enumerate(NAMES)))
    (photos / "classes.txt").write_text("\n".join(NAMES))
    arguments = ("predict", photos / "photos", "--classes", photos / "classes.txt", *SCENES, "--out", photos / "p.csv")
    done = promptmlr(*arguments, "--share", photos / "shares.csv", "--precision", "0.8")
    assert done.code == 0, done.err
    assert "how often classes are present is what --share says" in done.err
    assert "no known label tells whether that holds" in done.err
    assert probabilities(photos / "p.csv").mean(axis=0) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5], abs=1e-3)


@pytest.mark.parametrize(
    ("classes", "more", "words"),
    [
        ("tree,image", (), "a CSV has a column 'image' already, and a class is called so; write p.jsonl"),
        ("tree,house", ("--precision", "2"), "--precision 2: it must lie in 0.5 to 0.99"),
    ],
)
def test_what_cannot_be_written_is_refused_before_an_image_is_seen(
    promptmlr, photos: Path, classes: str, more: tuple[str, ...], words: str
) -> None:
    out = photos / "p.csv"
    done = promptmlr("predict", photos / "no images", "--classes", classes, *SCENES, *more, "--out", out)
    assert (done.code, words in done.err.splitlines()[-1]) == (2, True), done.err


def test_unreadable_images_are_left_out_or_refused(promptmlr, photos: Path) -> None:
    (photos / "photos" / "broken.png").write_bytes(b"\x89PNG")
    arguments = ("predict", photos / "photos", "--classes", "tree,house", *SCENES, "--out", photos / "p.csv")
    assert promptmlr(*arguments, "--strict").code == 2
    assert not (photos / "p.csv").exists()
    done = promptmlr(*arguments)
    assert done.code == 0, done.err
    assert len([line for line in done.err.splitlines() if "broken.png" in line]) == 1
    assert done.err.splitlines()[-1].startswith("predicted: 48, unreadable: 1")


def test_classes_in_several_sentences(promptmlr, photos: Path, blank: Path) -> None:
    texts, run, tags, again = photos / "texts.csv", photos / "run", photos / "tags.csv", photos / "again.csv"
    texts.write_text("class,text\ntree,a picture of the trees.\ntree,there is a tree\n")
    ensemble = ("--templates", "simple", "--texts", texts, *SCENES)
    tagging = ("predict", photos / "photos", "--classes", ",".join(NAMES), "--out", tags, "--overwrite")
    assert promptmlr(*tagging, *SCENES).code == 0
    plain = probabilities(tags)
    done = promptmlr(*tagging, *ensemble)
    assert done.code == 0, done.err
    assert (np.abs(probabilities(tags) - plain).max(axis=0) > 0.01).all()
    done = promptmlr("train", blank, *ensemble, "--out", run)
    assert done.code == 0, done.err
    texts.unlink()  # the run has what was in it
    recipe = pm.load_run(run).config.recipe
    assert (recipe.templates, recipe.texts) == ("simple", {"tree": ("a picture of the trees.", "there is a tree")})
    done = promptmlr("predict", run, photos / "photos", "--also", "moon", "--out", again, "--workers", "0")
    assert done.code == 0, done.err
    assert probabilities(again) == pytest.approx(probabilities(tags), abs=2e-3)
    texts.write_text("class,text\ntrees,wood\n")
    table = photos / "labels.csv"
    for arguments, said in (
        (("train", table, *ensemble), "line 2: unknown class 'trees'"),
        (
            ("train", table, "--method", "positivecoop", *ensemble[:2], *SCENES),
            "positivecoop does not start from",
        ),
        (("predict", run, photos / "photos", *ensemble[:2]), "--templates is about --classes"),
        (("predict", run, photos / "photos", *ensemble[2:4]), "--texts is about --classes"),
    ):
        done = promptmlr(*arguments, "--out", photos / "no.csv")
        assert (done.code, said in done.err.splitlines()[-1]) == (2, True), done.err


def test_an_unfinished_run_remembers_the_texts(promptmlr, photos: Path, monkeypatch) -> None:
    from promptmlr.run import RunInProgress

    real, texts, run = RunInProgress.save, photos / "texts.csv", photos / "run"

    def stop(self, *args) -> None:
        real(self, *args)
        raise KeyboardInterrupt

    texts.write_text("class,text\ntree,trees\n")
    arguments = ("train", photos / "labels.csv", *SCENES, "--epochs", "2", "--out", run, "--prior-strength", "30")
    monkeypatch.setattr(RunInProgress, "save", stop)
    assert promptmlr(*arguments, "--texts", texts).code == 130
    monkeypatch.undo()
    done = promptmlr(*arguments, "--resume")
    assert (done.code, "recipe.texts: {'tree': ('trees',)}, now {}" in done.err) == (2, True), done.err
    done = promptmlr(*arguments, "--texts", texts, "--resume")
    assert done.code == 0, done.err


def test_a_run_is_given_more_classes_by_name(promptmlr, photos: Path, run: Path) -> None:
    folder, before, after = photos / "photos", photos / "before.csv", photos / "after.csv"
    assert promptmlr("predict", run, folder, "--out", before, "--workers", "0").code == 0
    (photos / "more.txt").write_text("moon\numbrella\n")
    for also in ("moon,umbrella", photos / "more.txt"):
        done = promptmlr("predict", run, folder, "--also", also, "--out", after, "--overwrite", "--workers", "0")
        assert done.code == 0, done.err
        assert "share, and unchecked: moon, umbrella" in done.err
        assert list(csv_rows(after)[0]) == ["image", "labels", *NAMES, "moon", "umbrella"]
        assert probabilities(after) == pytest.approx(probabilities(before), abs=1e-6)
    named = [set(row["labels"].split(";")) for row in csv_rows(after)]
    assert any({"moon", "umbrella"} & labels for labels in named)
    old = [set(row["labels"].split(";")) for row in csv_rows(before)]
    assert [labels - {"moon", "umbrella", ""} for labels in named] == [labels - {""} for labels in old]
    arguments = ("predict", run, folder, "--also", "moon,umbrella", "--out", after, "--overwrite", "--workers", "0")
    assert promptmlr(*arguments, "--top", "7").code == 0
    assert all(len(row["labels"].split(";")) == 7 for row in csv_rows(after))
    done = promptmlr(*arguments, "--precision", "0.7")
    assert done.code == 0, done.err
    assert "for 70 % precision" in done.err
    for wrong, said in (
        (("--also", "tree"), "has the class 'tree' already"),
        (("--also", "moon,moon"), "duplicate class name 'moon'"),
        (("--also", "moon", "--classes", "tree"), "name all of them in --classes"),
    ):
        done = promptmlr("predict", run, folder, *wrong, "--out", photos / "p.csv")
        assert done.code == 2
        assert said in done.err.splitlines()[-1]
    (run / "prior.json").unlink()
    done = promptmlr(*arguments)
    assert (done.code, "prior.json is missing" in done.err.splitlines()[-1]) == (2, True)


def test_what_does_not_go_together_is_one_line(promptmlr, photos: Path) -> None:
    run, folder = photos / "run", photos / "photos"
    assert promptmlr("train", photos / "labels.csv", "--method", "zeroshot", *SCENES, "--out", run).code == 0
    for arguments, said in (
        ((run, folder, "--classes", "tree,house"), "run is a run, and knows its classes"),
        (("hf://ann/shop-tags", folder, "--classes", "tree"), "hf://ann/shop-tags is a run"),
        (("--classes", "tree"), "requires an argument"),
        ((folder,), "without a run it takes images and --classes"),
        ((run, folder, "--share", "0.2"), "--share is about --classes"),
        ((folder, "--classes", "tree,house", "--backbone", "scene"), "unknown backbone 'scene'"),
        ((folder, "--classes", " ,"), "no class"),
        ((folder, "--classes", "traffic light,traffic_light"), "duplicate class name 'traffic light'"),
        ((photos / "nowhere", "--classes", "tree", *SCENES), "no such file or folder"),
        ((folder, "--classes", "tree", "--share", "2"), "a share of 2 is outside (0, 1)"),
    ):
        done = promptmlr("predict", *arguments, "--out", photos / "p.csv")
        assert done.code == 2
        assert done.err.splitlines()[-1].startswith("error: ")
        assert said in done.err.splitlines()[-1]
        assert not (photos / "p.csv").exists()
