"""Runs are calibrated on labels out of fold, or where they are many on a tenth held out; they say so, and use it."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import promptmlr as pm
from promptmlr import crossvalidation
from promptmlr.labels import UNKNOWN, hold_out, label_folds
from promptmlr.pipeline import calibrating, epochs
from promptmlr.prediction import predict_margins
from promptmlr.training import TrainingRun

TRAIN = ("train", "scenes", "--method", "dualembedding", "--epochs", "2")
FEW, MANY = ("--observed", "0.1"), ("--observed", "0.5")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


class Seen:
    """What training and calibration were given, in the order of their calls."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.trained: list[Sequence[TrainingRun]] = []
        self.fitted: list[Any] = []
        fit, calibrate = epochs.fit_runs, calibrating.fit_calibration

        def fit_runs(runs, source, **options) -> None:
            self.source = source
            self.trained.append(runs)
            fit(runs, source, **options)

        def fit_calibration(*arguments, **options):
            self.fitted.append((arguments, options))
            return calibrate(*arguments, **options)

        for trains in (epochs, crossvalidation):
            patch.setattr(trains, "fit_runs", fit_runs)
        patch.setattr(calibrating, "fit_calibration", fit_calibration)


def test_few_labels_are_all_trained_on_and_calibrated_on_out_of_fold(promptmlr, runs: Path, monkeypatch) -> None:
    seen = Seen(monkeypatch)
    done = promptmlr(*TRAIN, *FEW, "--out", runs / "calibrated")
    assert done.code == 0, done.err
    assert "held out" not in done.err
    assert "4 more trainings side by side" in done.err
    [[main], folds], [((margins, labels, unseen), options)] = seen.trained, seen.fitted
    assert (main.labels == labels).all()
    assert unseen.all()
    assert options["basis"] == "out of fold"
    fold = label_folds(labels, seed=0, folds=4)
    assert len(folds) == 4
    for number, run in enumerate(folds):
        assert (run.labels == np.where(fold == number, UNKNOWN, labels)).all()
        own = predict_margins(run.recognizer.fold(), seen.source)[1]
        assert margins[fold == number] == pytest.approx(own[fold == number])
    own = predict_margins(main.recognizer.fold(), seen.source)[1]
    assert margins[fold == -1] == pytest.approx(own[fold == -1])

    run = pm.load_run(runs / "calibrated")
    assert run.calibration is not None
    known = int((labels != UNKNOWN).sum())
    assert sum(run.calibration.present) + sum(run.calibration.absent) == run.config.data.known_labels == known
    assert run.calibration.basis == "out of fold"
    assert run.thresholds == pytest.approx(run.calibration.thresholds)
    assert run.calibration.log_loss_after < run.calibration.log_loss_before


def test_of_many_labels_a_tenth_of_each_class_and_kind_is_held_out(promptmlr, runs: Path, monkeypatch) -> None:
    seen = Seen(monkeypatch)
    done = promptmlr(*TRAIN, *MANY, "--out", runs / "many")
    assert done.code == 0, done.err
    [[main]], [((_, held, unseen), options)] = seen.trained, seen.fitted
    known = int((held != UNKNOWN).sum())
    assert f"of these labels {known:,} are held out to calibrate" in done.err
    assert "more trainings" not in done.err
    assert options["basis"] == "held out"
    assert not ((held != UNKNOWN) & (main.labels != UNKNOWN)).any()
    assert (unseen == (main.labels == UNKNOWN)).all()
    labels = np.where(held == UNKNOWN, main.labels, held)
    assert (hold_out(labels, 0.1, seed=0)[1] == held).all()
    assert known == round((labels != UNKNOWN).sum() / 10)
    for value in (0, 1):
        assert (held == value).sum(axis=0) == pytest.approx((labels == value).sum(axis=0) / 10, abs=1)
    run = pm.load_run(runs / "many")
    assert sum(run.calibration.present) + sum(run.calibration.absent) == known
    assert run.calibration.basis == "held out"


def test_scores_and_labels_use_them(promptmlr, runs: Path) -> None:
    run = pm.load_run(runs / "calibrated")
    page = runs / "evaluation.html"
    done = promptmlr("evaluate", runs / "calibrated", "scenes", "--resamples", "0", "--report", page)
    assert "labels at a probability above its class's threshold" in done.out
    found = json.loads((runs / "calibrated" / "evaluation.json").read_text())
    assert list(found["threshold"].values()) == pytest.approx(run.thresholds)
    after, before = (found["reliability"][name] for name in ("calibrated", "as trained"))
    assert after["calibration_error"] < before["calibration_error"] / 2
    assert sum(one["labels"] for one in after["bins"]) == 20_000
    said = {line.split("  ")[0]: line for line in done.out.splitlines()}
    for one in found["compared"]:
        shown = f"{100 * one['mean_ap']:.1f}", f"{one['log_loss']:.3f}", f"{100 * one['calibration_error']:.1f} points"
        assert re.sub("  +", "  ", said[one["name"]]).split("  ") == [one["name"], *shown]
        assert one["calibration_error"] == found["reliability"][one["name"]]["calibration_error"]
    assert [one["name"] for one in found["compared"]] == ["calibrated", "as trained", "zero-shot"]
    assert found["compared"][0]["mean_ap"] == pytest.approx(found["mean_ap"])
    text = page.read_text()
    assert "Share of labels present against their probability" in text
    assert "Compared with zero-shot" in text
    assert re.search(r"<ul>\s*<li>mAP [\d.]+", text)
    assert re.search(r"known ones: means over classes: precision CP [\d.]+.*; all labels pooled: precision OP", text)


def test_training_may_see_all_labels_instead(promptmlr, runs: Path) -> None:
    done = promptmlr(*TRAIN, *MANY, "--no-calibrate", "--out", runs / "plain")
    assert done.code == 0, done.err
    assert "held out" not in done.err
    assert "more trainings" not in done.err
    run = pm.load_run(runs / "plain")
    assert run.calibration is None
    assert run.calibrated is run.recognizer
    assert (run.thresholds == 0.5).all()


@pytest.mark.parametrize("damage", ["{", "{}", "other classes"])
def test_a_damaged_calibration_is_one_line(promptmlr, runs: Path, tmp_path: Path, damage: str) -> None:
    import shutil

    shutil.copytree(runs / "calibrated", tmp_path / "run")
    path = tmp_path / "run" / "calibration.json"
    if damage == "other classes":
        content = json.loads(path.read_text())
        damage = json.dumps({k: v[:3] if isinstance(v, list) else v for k, v in content.items()})
    path.write_text(damage)
    done = promptmlr("evaluate", tmp_path / "run", "scenes")
    assert done.code == 2
    assert "calibration.json is damaged" in done.err.splitlines()[-1]


def test_a_handful_of_labels_is_calibrated_on_too(promptmlr, photos: Path) -> None:
    method = ("--method", "dualembedding", "--backbone", "scenes", "--epochs", "1")
    done = promptmlr("train", photos / "labels.csv", *method, "--out", photos / "run")
    assert done.code == 0, done.err
    run = pm.load_run(photos / "run")
    assert run.config.data.known_labels == sum(run.calibration.present) + sum(run.calibration.absent) == 63


def test_a_class_of_ticks_gets_the_line_of_the_others(promptmlr, photos: Path) -> None:
    with (photos / "labels.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    kept = [[*row[:2], row[2].replace("0", ""), *row[3:]] for row in rows]
    with (photos / "some.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *kept])
    method = ("--method", "dualembedding", "--backbone", "scenes", "--epochs", "1")
    done = promptmlr("train", photos / "some.csv", *method, "--out", photos / "run")
    assert done.code == 0, done.err
    assert f"absent: {head[2]};" in done.err
    found = pm.load_run(photos / "run").calibration
    assert (found.present[0], found.absent[0]) == (0, 0)
    assert all(map(sum, zip(found.present[1:], found.absent[1:], strict=True)))


@pytest.mark.parametrize("value", ["1", "0"])
def test_labels_of_one_kind_calibrate_nothing(promptmlr, photos: Path, value: str) -> None:
    with (photos / "labels.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    kept = [row[:2] + [cell if cell == value else "" for cell in row[2:]] for row in rows]
    with (photos / "one.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *kept])
    method = ("--method", "dualembedding", "--backbone", "scenes", "--epochs", "1")
    done = promptmlr("train", photos / "one.csv", *method, "--out", photos / "run")
    assert done.code == 0, done.err
    assert "not calibrated: no class has known labels of both kinds" in done.err
    assert pm.load_run(photos / "run").calibration is None
