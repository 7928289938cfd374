"""Runs are calibrated on labels held out, say so, and use it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import promptmlr as pm
from promptmlr.labels import UNKNOWN, hold_out

TRAIN = ("train", "scenes", "--method", "dualembedding", "--observed", "0.1", "--epochs", "2")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


def test_probabilities_and_thresholds_come_from_labels_held_out(promptmlr, runs: Path, monkeypatch) -> None:
    from promptmlr import pipeline

    fitted, seen = [], []
    real = pipeline.fit_calibration, pipeline.fit
    monkeypatch.setattr(pipeline, "fit_calibration", lambda *args: fitted.append(args) or real[0](*args))
    monkeypatch.setattr(pipeline, "fit", lambda *args, **options: seen.append(args[2]) or real[1](*args, **options))
    done = promptmlr(*TRAIN, "--out", runs / "calibrated")
    assert done.code == 0, done.err
    assert "of these labels 407 are held out to calibrate" in done.err
    [(_, held, unseen)], [trained] = fitted, seen
    assert (held != UNKNOWN).sum() == 407
    assert not ((held != UNKNOWN) & (trained != UNKNOWN)).any()
    assert (unseen == (trained == UNKNOWN)).all()
    labels = np.where(held == UNKNOWN, trained, held)
    assert (hold_out(labels, 0.1, seed=0)[1] == held).all()

    run = pm.load_run(runs / "calibrated")
    assert run.calibration is not None
    assert sum(run.calibration.present) + sum(run.calibration.absent) == 407
    assert run.thresholds == pytest.approx(run.calibration.thresholds)
    assert run.calibration.log_loss_after < run.calibration.log_loss_before


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
    assert f"{100 * after['calibration_error']:.1f} points calibrated" in done.out
    text = page.read_text()
    assert "Share of labels present against their probability" in text
    assert re.search(r"<ul>\s*<li>mAP [\d.]+", text)
    assert re.search(r"known ones: means over classes: precision CP [\d.]+.*; all labels pooled: precision OP", text)


def test_training_may_see_all_labels_instead(promptmlr, runs: Path) -> None:
    done = promptmlr(*TRAIN, "--no-calibrate", "--out", runs / "plain")
    assert done.code == 0, done.err
    assert "held out" not in done.err
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


def test_too_few_labels_are_all_trained_on(promptmlr, photos: Path) -> None:
    done = promptmlr("train", photos / "labels.csv", "--backbone", "scenes", "--epochs", "1", "--out", photos / "run")
    assert done.code == 0, done.err
    assert "not calibrated: 63 observed labels are too few to hold any out" in done.err
