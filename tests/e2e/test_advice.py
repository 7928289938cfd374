"""suggest, audit, learning-curve and --method auto, as a person runs them."""

import csv
import json
from pathlib import Path

import pytest

import promptmlr as pm
from support import csv_rows

SMALL = ("--backbone", "scenes", "--epochs", "2", "--workers", "0")


@pytest.fixture
def run(promptmlr, photos: Path) -> Path:
    done = promptmlr("train", photos / "labels.csv", "--method", "dualembedding", "--out", photos / "run", *SMALL)
    assert done.code == 0, done.err
    return photos / "run"


def ticks_of(photos: Path) -> Path:
    """The table without what is absent in it."""
    with (photos / "labels.csv").open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    kept = [[*line[:2], *("" if cell == "0" else cell for cell in line[2:])] for line in lines]
    with (photos / "ticks.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *kept])
    return photos / "ticks.csv"


def test_cells_to_label_next(promptmlr, photos: Path, run: Path) -> None:
    out = photos / "next.csv"
    done = promptmlr("suggest", run, photos / "labels.csv", "-n", "12", "--out", out)
    assert done.code == 0, done.err
    assert "12 cells of" in done.err
    known = {row["image"]: row for row in csv_rows(photos / "labels.csv")}
    asked = csv_rows(out)
    assert len(asked) == 12
    assert all(known[row["image"]][row["class"]] == "" and known[row["image"]]["split"] == "train" for row in asked)
    again = promptmlr("suggest", run, photos / "labels.csv", "--out", out)
    assert (again.code, again.err.splitlines()[-1]) == (
        2,
        f"error: {out} exists; name another file with --out, or replace it with --overwrite",
    )
    done = promptmlr("suggest", run, photos / "labels.csv", "-n", "12", "--out", photos / "next.json")
    assert done.code == 0, done.err
    tasks = json.loads((photos / "next.json").read_text())
    assert len(tasks) == len({row["image"] for row in asked})
    assert promptmlr("suggest", run, photos / "labels.csv", "--out", photos / "next.xml").code == 2
    nothing = promptmlr("suggest", run, photos / "labels.csv", "--split", "test", "--out", photos / "no.csv")
    assert nothing.code == 2
    assert "no label is unknown, so there is nothing to ask" in nothing.err


def test_labels_that_look_wrong(promptmlr, photos: Path, run: Path) -> None:
    done = promptmlr("audit", run, photos / "labels.csv", "--out", photos / "label-quality.csv")
    assert done.code == 0, done.err
    known = {row["image"]: row for row in csv_rows(photos / "labels.csv")}
    found = csv_rows(photos / "label-quality.csv")
    assert len(found) == 63
    assert all(known[row["image"]][row["class"]] == row["label"] for row in found)
    assert done.err.splitlines()[-1].endswith(
        f"of 63 observed labels may be wrong; all of them, the lowest quality first: {photos / 'label-quality.csv'}"
    )


def test_ticks_are_ranked_and_none_is_called_wrong(promptmlr, photos: Path) -> None:
    table, out = ticks_of(photos), photos / "label-quality.csv"
    assert promptmlr("train", table, "--out", photos / "run", *SMALL).code == 0
    done = promptmlr("audit", photos / "run", table, "--out", out)
    assert done.code == 0, done.err
    assert "no label says where these are absent: tree, house, cloud, car, flower" in done.err
    assert "the labels of these classes are ranked and none is called an issue" in done.err
    found = csv_rows(out)
    assert {(row["label"], row["issue"]) for row in found} == {("1", "")}
    assert done.err.splitlines()[-1].startswith(f"0 of {len(found)} observed labels may be wrong")
    quality = [float(row["quality"]) for row in found]
    assert quality == sorted(quality)
    assert quality[0] < quality[-1]


def test_what_more_labels_would_buy(promptmlr, photos: Path) -> None:
    out, page = photos / "curve", photos / "curve.html"
    arguments = ("--method", "dualembedding", "--seeds", "2", "--shares", "0.3,0.6,1", *SMALL)
    done = promptmlr("learning-curve", photos / "labels.csv", *arguments, "--out", out, "--report", page)
    assert done.code == 0, done.err
    found = csv_rows(out / "curve.csv")
    assert [row["what"] for row in found] == ["measured"] * 3 + ["extrapolated"] * 2
    assert f"{100 * float(found[2]['mean_ap']):.1f} (" in done.out
    assert int(found[2]["labels"]) == 63
    assert int(found[4]["labels"]) == 630
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "What more labels would buy" in page.read_text()
    counted = promptmlr("learning-curve", photos / "labels.csv", *arguments[:4], *SMALL, "--labels", "20,60,40")
    assert counted.code == 0, counted.err
    assert [line.split()[0] for line in counted.out.splitlines()[2:5]] == ["20", "40", "60"]
    for option, value, words in (
        ("--shares", "0.1,0.5,positive-only:1", "makes no curve"),
        ("--labels", "5,9,64", "64 labels are asked for, and 63 are known"),
    ):
        refused = promptmlr("learning-curve", photos / "labels.csv", *SMALL, option, value)
        assert (refused.code, words in refused.err) == (2, True), refused.err


def test_without_a_test_split_a_quarter_is_held_out(promptmlr, photos: Path) -> None:
    lines = (photos / "labels.csv").read_text().splitlines()
    table = photos / "plain.csv"
    table.write_text("\n".join(",".join(cell for i, cell in enumerate(line.split(",")) if i != 1) for line in lines))
    arguments = ("--method", "zeroshot", "--seeds", "2", "--shares", "0.3,0.6,1", *SMALL)
    done = promptmlr("learning-curve", table, *arguments)
    assert done.code == 0, done.err
    assert "no test split: 12 of 48 images are held out to score on" in done.err
    assert done.err.count("all rows") == 1  # it is read once


def test_the_method_is_chosen_by_cross_validation(promptmlr, photos: Path) -> None:
    done = promptmlr("train", photos / "labels.csv", "--method", "auto", "--out", photos / "run", *SMALL)
    assert done.code == 0, done.err
    chosen = pm.load_run(photos / "run").config.method
    assert f"{chosen} is taken" in done.err
    tried = csv_rows(photos / "run" / "methods.csv")
    assert chosen in (tried[0]["method"], "anchored")
    assert {row["method"] for row in tried} == set(pm.METHODS)
    assert float(tried[0]["mean_ap"]) == max(float(row["mean_ap"]) for row in tried)


def test_templates_are_for_the_candidates_that_start_from_texts(promptmlr, photos: Path) -> None:
    arguments = ("--method", "auto", "--templates", "simple", "--epochs", "1", *SMALL[:2], *SMALL[4:])
    done = promptmlr("train", photos / "labels.csv", *arguments, "--out", photos / "run")
    assert done.code == 0, done.err
    assert {row["method"] for row in csv_rows(photos / "run" / "methods.csv")} == set(pm.METHODS)


def test_the_method_is_chosen_among_ticks_alone(promptmlr, photos: Path) -> None:
    done = promptmlr("train", ticks_of(photos), "--method", "auto", "--out", photos / "run", *SMALL)
    assert done.code == 0, done.err
    assert "what nobody ticked counts as absent" in done.err
    assert "--no-calibrate" not in done.err
    tried = csv_rows(photos / "run" / "methods.csv")
    assert {row["method"] for row in tried} == set(pm.METHODS)
    assert float(tried[0]["mean_ap"]) < 1
    assert {row["log_loss"] for row in tried} == {""}
    assert f"{pm.load_run(photos / 'run').config.method} is taken" in done.err


def test_a_chosen_method_is_gone_on_with(promptmlr, photos: Path, monkeypatch) -> None:
    from promptmlr.run import RunInProgress

    real = RunInProgress.save

    def stop(self, *args) -> None:
        real(self, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunInProgress, "save", stop)
    monkeypatch.setattr("promptmlr.choice.choose_method", lambda *_, **__: [Chosen()])
    monkeypatch.setattr("promptmlr.choice.described", lambda *_: [])
    monkeypatch.setattr("promptmlr.choice.write_candidates", lambda *_: None)
    arguments = ("train", photos / "labels.csv", "--method", "auto", "--out", photos / "run", *SMALL)
    assert promptmlr(*arguments).code == 130
    monkeypatch.undo()
    done = promptmlr(*arguments, "--resume")
    assert done.code == 0, done.err
    assert "going on with baseline, which --method auto had chosen" in done.err
    assert pm.load_run(photos / "run").config.method == "baseline"


class Chosen:
    method = "baseline"
