"""The estimator and the command line train the same."""

from pathlib import Path

import promptmlr as pm
from support import csv_rows


def test_it_trains_what_the_command_line_trains(promptmlr, photos: Path) -> None:
    table = photos / "labels.csv"
    rows = [row for row in csv_rows(table) if row["split"] == "train"]
    names = [name for name in rows[0] if name not in ("image", "split")]
    y = [[float(row[name] or "nan") for name in names] for row in rows]
    recognizer = pm.MultiLabelRecognizer("dualembedding", backbone="scenes", class_names=names, epochs=2)
    recognizer.fit([photos / row["image"] for row in rows], y).save(photos / "saved")

    arguments = ("--method", "dualembedding", "--backbone", "scenes", "--epochs", "2", "--out", photos / "run")
    done = promptmlr("train", table, *arguments)
    assert done.code == 0, done.err
    ours, theirs = pm.load_run(photos / "saved"), pm.load_run(photos / "run")
    assert ours.config.recipe == theirs.config.recipe
    assert (ours.recognizer.presence.embedding == theirs.recognizer.presence.embedding).all()
    assert ours.calibration == theirs.calibration
    evaluated = promptmlr("evaluate", photos / "saved", table, "--resamples", "0")
    assert evaluated.code == 0, evaluated.err
