"""`train` as it comes: labels move CLIP's zero-shot, it says how far, and ticks or none are enough."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import promptmlr as pm

SCENES = ("--backbone", "scenes", "--workers", "0")


def said(text: str, words: str) -> str:
    [line] = [line for line in text.splitlines() if words in line]
    return line


@pytest.fixture
def ticks(photos: Path) -> Path:
    """The table of the photos, in which the training split never says what is absent."""
    with (photos / "labels.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    blank = [row[:2] + [cell if cell == "1" or row[1] == "test" else "" for cell in row[2:]] for row in rows]
    with (photos / "ticks.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *blank])
    return photos / "ticks.csv"


def mean_ap(promptmlr, run: Path, data: Path) -> tuple[float, float]:
    """Of a run, and of the zero-shot it began at."""
    done = promptmlr("evaluate", run, data, "--resamples", "0", "--workers", "0")
    assert done.code == 0, done.err
    compared = {one["name"]: one for one in json.loads((run / "evaluation.json").read_text())["compared"]}
    return compared["calibrated"]["mean_ap"], compared["zero-shot"]["mean_ap"]


def test_the_default_moves_a_prior_and_says_how_far(promptmlr, photos: Path) -> None:
    run = photos / "run"
    done = promptmlr("train", photos / "labels.csv", *SCENES, "--out", run)
    assert done.code == 0, done.err
    assert "held out" not in done.err
    line = said(done.err, "prior of ")
    found = pm.load_run(run)
    record = found.prior
    assert (found.config.method, record.level, record.unknown) == ("anchored", "labels", "ignore")
    assert f"prior of {'infinite ' if record.strength == 'infinite' else ''}strength" in line
    assert sum(found.calibration.present) + sum(found.calibration.absent) == found.config.data.known_labels == 63
    ours, plain = mean_ap(promptmlr, run, photos / "labels.csv")
    assert ours >= plain - 0.015


def test_an_infinite_prior_is_the_zero_shot(promptmlr, photos: Path) -> None:
    run = photos / "run"
    done = promptmlr("train", photos / "labels.csv", *SCENES, "--prior-strength", "infinite", "--out", run)
    assert done.code == 0, done.err
    ours, plain = mean_ap(promptmlr, run, photos / "labels.csv")
    assert ours == plain
    done = promptmlr("train", photos / "labels.csv", *SCENES, "--prior-strength", "-3", "--out", photos / "other")
    assert (done.code, "--prior-strength -3: it is auto" in done.err.splitlines()[-1]) == (2, True)
    done = promptmlr("train", photos / "labels.csv", *SCENES, "--start", "random", "--out", photos / "other")
    assert (done.code, "anchored has none; leave it out" in done.err.splitlines()[-1]) == (2, True)
    assert not (photos / "other").exists()


def test_a_table_whose_rows_are_all_of_one_split_has_none_to_be_scored_on(promptmlr, photos: Path) -> None:
    text = (photos / "labels.csv").read_text()
    (photos / "one.csv").write_text("\n".join(line for line in text.splitlines() if ",test," not in line) + "\n")
    done = promptmlr("train", photos / "one.csv", *SCENES, "--epochs", "1", "--out", photos / "run")
    assert done.code == 0, done.err
    assert "no image is left to score the run on" in done.err
    assert f"next: promptmlr predict {photos / 'run'}" in done.err


def test_ticks_are_recognised_and_stand_up(promptmlr, photos: Path, ticks: Path) -> None:
    run = photos / "run"
    done = promptmlr("train", ticks, *SCENES, "--out", run)
    assert done.code == 0, done.err
    assert "no label says what is absent; unknown labels cost what --unknown hill says" in done.err
    assert pm.load_run(run).prior.level == "loss"
    ours, plain = mean_ap(promptmlr, run, ticks)
    assert ours >= plain - 0.015
    assert promptmlr("predict", run, photos / "photos", "--out", photos / "p.csv", "--workers", "0").code == 0
    with (photos / "p.csv").open(newline="", encoding="utf-8") as file:
        found = np.array([[float(cell) for cell in row[2:]] for row in list(csv.reader(file))[1:]])
    assert 0.03 < found.mean() < 0.6  # and not: everything is everywhere


def test_a_person_may_know_how_often_classes_are_there(promptmlr, photos: Path, ticks: Path) -> None:
    run = photos / "run"
    done = promptmlr("train", ticks, *SCENES, "--share", "0.25", "--unknown", "entropy", "--out", run)
    assert done.code == 0, done.err
    said(done.err, "how often classes are present comes from --share")
    found = pm.load_run(run)
    assert (found.prior.level, found.prior.unknown, found.config.recipe.unknown) == ("share", "entropy", "entropy")
    arguments = ("predict", run, photos / "photos", "--out", photos / "p.csv", "--workers", "0")
    assert promptmlr(*arguments).code == 0
    with (photos / "p.csv").open(newline="", encoding="utf-8") as file:
        cells = np.array([[float(cell) for cell in row[2:]] for row in list(csv.reader(file))[1:]])
    assert cells[:32].mean() == pytest.approx(0.25, abs=0.02)  # of the images of the training split


def test_that_ticks_cost_nothing_is_warned_of(promptmlr, photos: Path, ticks: Path) -> None:
    done = promptmlr("train", ticks, *SCENES, "--unknown", "ignore", "--out", photos / "run")
    assert done.code == 0, done.err
    assert "warning: no label says what is absent, and unknown labels cost nothing" in done.err


def test_labels_may_be_as_right_as_asked(promptmlr, photos: Path) -> None:
    run = photos / "run"
    assert promptmlr("train", "scenes", "--observed", "0.05", "--workers", "0", "--out", run).code == 0
    done = promptmlr("evaluate", run, "scenes", "--precision", "0.9", "--resamples", "0", "--workers", "0")
    assert done.code == 0, done.err
    point = pm.load_run(run).calibration.threshold_of(0.9)
    assert point.right >= 0.8 * point.predicted > 0
    found = json.loads((run / "evaluation.json").read_text())
    assert found["threshold"] == point.threshold
    assert found["op"] >= 0.75
    for asked, words in (("1.2", "--precision"), ("0.2", "it must lie in 0.5 to 0.99")):
        done = promptmlr("predict", run, photos / "photos", "--precision", asked, "--out", photos / "p.csv")
        assert (done.code, words in done.err.splitlines()[-1]) == (2, True)


@pytest.mark.parametrize("damage", ["{", "{}", "fewer classes"])
def test_a_damaged_prior_is_one_line(promptmlr, photos: Path, run: Path, damage: str) -> None:
    path = run / "prior.json"
    content = json.loads(path.read_text())
    cut = {name: value[:3] if isinstance(value, list) else value for name, value in content.items()}
    path.write_text(json.dumps(cut) if damage == "fewer classes" else damage)
    done = promptmlr("evaluate", run, photos / "labels.csv", "--workers", "0")
    assert done.code == 2
    assert "prior.json is damaged" in done.err.splitlines()[-1]


def table(folder: Path, cells: list[list[str]], names: tuple[str, ...] = ("tree", "house")) -> Path:
    """A table of the first photos with these cells."""
    rows = [[f"photos/{number:02d}.png", *row] for number, row in enumerate(cells)]
    path = folder / "own.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", *names], *rows])
    return path


@pytest.mark.parametrize(
    ("cells", "options"),
    [
        ([["1", "0"]], ()),
        ([["1", ""]], ()),
        ([["0", "0"]] * 20, ()),
        ([["1", "1"]] * 20, ()),
        ([["1", "0"], ["0", "1"], ["1", "1"], ["0", "0"]] * 6, ("--prior-strength", "1000")),
        ([["1", "0"], ["0", "1"], ["1", "1"], ["0", "0"]] * 6, ("--method", "zeroshot")),
    ],
)
def test_odd_tables_are_trained_on_and_do_not_label_everything(
    promptmlr, photos: Path, cells: list[list[str]], options: tuple[str, ...]
) -> None:
    """One image; labels of one kind; a table without a blank and nothing out of fold to set thresholds by."""
    done = promptmlr("train", table(photos, cells), *SCENES, *options, "--out", photos / "run")
    assert done.code == 0, done.err
    assert (pm.load_run(photos / "run").thresholds > 0).all()


def test_a_resumed_run_has_the_share_it_began_with(promptmlr, photos: Path, monkeypatch) -> None:
    command = ("train", photos / "labels.csv", *SCENES, "--out", photos / "run", "--prior-strength", "500")
    with monkeypatch.context() as patch:
        patch.setattr("promptmlr.pipeline.running.recalibrate", None)  # stops it once it is trained
        with pytest.raises(TypeError):
            promptmlr(*command, "--share", "0.3")
    done = promptmlr(*command, "--resume")
    assert (done.code, "was started with another share" in done.err.splitlines()[-1]) == (2, True)
    assert promptmlr(*command, "--resume", "--share", "0.3").code == 0


@pytest.mark.parametrize("name", ["prior.json", "calibration.json"])
def test_what_is_missing_is_named(promptmlr, photos: Path, run: Path, name: str) -> None:
    (run / name).unlink()
    done = promptmlr("predict", run, photos / "photos", "--out", photos / "p.csv")
    assert (done.code, f"{name} is missing" in done.err.splitlines()[-1]) == (2, True)


def test_options_that_would_do_nothing_are_refused(promptmlr, photos: Path) -> None:
    command = ("train", photos / "labels.csv", *SCENES, "--out", photos / "run")
    for arguments, said in (
        (("--method", "dualembedding", "--prior-strength", "9"), "dualembedding has none"),
        (("--share", photos / "twice.csv"), "line 3: 'tree' has a share already"),
        (("--share", photos / "few.csv"), "no share for house"),
    ):
        (photos / "twice.csv").write_text("class,share\ntree,0.2\ntree,0.3\n")
        (photos / "few.csv").write_text("class,share\ntree,0.2\ncar,0.1\n")
        done = promptmlr(*command, *arguments)
        assert (done.code, said in done.err.splitlines()[-1]) == (2, True), done.err
