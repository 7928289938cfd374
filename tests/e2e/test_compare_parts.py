"""`promptmlr compare` on parts of the data: in folds, and with classes that training never sees."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from promptmlr import opening
from promptmlr.data import load_data
from promptmlr.paper.grid import cells as grid_cells
from promptmlr.paper.grid import stack
from promptmlr.paper.grid.folds import Fold, draw_folds, hold_out_images
from support import csv_rows

SMALL = ("--backbone", "scenes", "--epochs", "2", "--workers", "0", "--seeds", "1", "--observed", "1")


def cells(out: Path) -> dict[tuple[str, str], dict[str, str]]:
    """(method, classes) → its cell of the only place."""
    return {(row["method"], row["classes"]): row for row in csv_rows(out / "cells.csv")}


def score(out: Path, method: str = "dualembedding", classes: str = "all") -> float:
    return float(cells(out)[method, classes]["mean_ap"])


def rewritten(photos: Path, name: str, change) -> Path:
    """The table with its rows changed: the header first, `change` gets cells and gives cells, or None for no row."""
    rows = [change(line.split(",")) for line in (photos / "labels.csv").read_text().splitlines()]
    (photos / name).write_text("".join(",".join(row) + "\n" for row in rows if row is not None))
    return photos / name


def test_folds_are_trainings_on_all_others(promptmlr, photos: Path) -> None:
    """Scored as on tables in which each fold in turn is the test split."""
    train = load_data(str(photos / "labels.csv"))
    fold = dict(zip(train.image_ids, draw_folds(32, 2), strict=True))
    methods = ("--methods", "dualembedding,baseline", *SMALL, "--batch-size", "5")
    done = promptmlr("compare", photos / "labels.csv", "--out", photos / "folded", "--folds", "2", *methods)
    assert done.code == 0, done.err
    assert "on 32 images in 2 folds, each scored by what was trained on the others" in done.err
    assert "baseline, 1 run at once, fold 2 of 2, steps" in done.err
    assert "mAP is the mean over 2 folds" in done.out
    found, known = [], []
    for number in range(2):

        def split(row: list[str], number: int = number) -> list[str] | None:
            if row[1] == "test":
                return None
            return row if row[0] == "image" else [row[0], ("test" if fold[row[0]] == number else "train"), *row[2:]]

        table, out = rewritten(photos, f"{number}.csv", split), photos / f"alone{number}"
        assert promptmlr("compare", table, "--out", out, *methods).code == 0
        found.append(cells(out))
        labels = load_data(str(table), purpose="test").labels
        known.append(int((labels != -1).sum()))
    assert sum(known) == (train.labels != -1).sum()
    for method in ("dualembedding", "baseline", "zeroshot"):
        folded, alone = cells(photos / "folded")[method, "all"], [one[method, "all"] for one in found]
        expected = np.mean([float(one["mean_ap"]) for one in alone])
        assert float(folded["mean_ap"]) == pytest.approx(expected, abs=1e-6)
        losses = [float(one["log_loss"]) for one in alone]
        assert float(folded["log_loss"]) == pytest.approx(np.average(losses, weights=known), rel=1e-5)
        assert float(folded["presence_displacement"]) == pytest.approx(
            np.mean([float(one["presence_displacement"]) for one in alone]), rel=1e-4
        )


def test_data_without_a_test_split_bring_their_own_folds(promptmlr, photos: Path, monkeypatch) -> None:
    table = rewritten(photos, "plain.csv", lambda row: [row[0], *row[2:]])
    own = draw_folds(48, 3)
    monkeypatch.setattr(opening, "load_data", lambda *given, **named: replace(load_data(*given, **named), folds=own))
    out, same = photos / "own", photos / "same"
    done = promptmlr("compare", table, "--out", out, "--methods", "baseline", *SMALL)
    assert done.code == 0, done.err
    assert "on 48 images in 3 folds" in done.err
    assert done.err.count("all rows") == 1  # it is read once
    assert promptmlr("compare", table, "--out", same, "--methods", "baseline", *SMALL, "--folds", "3").code == 0
    assert score(out, "baseline") == score(same, "baseline")


@pytest.mark.parametrize("after", [1, 3, 7])  # of eight times that its state is kept
def test_an_interrupted_fold_goes_on_to_the_same_bits(promptmlr, photos: Path, monkeypatch, after: int) -> None:
    out, real, saved = photos / "grid", stack.Stack.save, []
    arguments = ("compare", photos / "labels.csv", "--folds", "3", "--methods", "positivecoop", *SMALL)

    def save(self, folder: Path) -> None:
        real(self, folder)
        saved.append(self.method)
        if saved.count("positivecoop") == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stack.Stack, "save", save)
        assert promptmlr(*arguments, "--out", out).code == 130
    other = promptmlr(*arguments, "--out", out, "--folds", "4")
    assert (other.code, "another --folds, number (3 there, 4 here)" in other.err) == (2, True), other.err
    assert promptmlr(*arguments, "--out", out).code == 0
    assert promptmlr(*arguments, "--out", photos / "whole").code == 0
    for kept in ("mean_ap", "log_loss", "epoch", "learned_parameters"):
        found = [{key: row[kept] for key, row in cells(folder).items()} for folder in (out, photos / "whole")]
        assert found[0] == found[1]
    assert len({(folder / "resampled.parquet").read_bytes() for folder in (out, photos / "whole")}) == 1
    assert not list(out.glob("*.unfinished.*"))


def test_without_a_test_split_nothing_is_scored_on_what_it_was_trained_on(promptmlr, photos: Path) -> None:
    table = rewritten(photos, "plain.csv", lambda row: [row[0], *row[2:]])
    arguments = ("compare", table, "--methods", "dualembedding", *SMALL)
    refused = promptmlr(*arguments, "--out", photos / "grid")
    assert refused.code == 2
    assert "has no test split" in refused.err
    assert "--folds 5 scores out of fold" in refused.err
    assert f"promptmlr convert {table} split.csv --to csv --hold-out 0.2" in refused.err
    assert not (photos / "grid").exists()
    done = promptmlr(*arguments, "--out", photos / "grid", "--folds", "3", "--labels", "40", "--observed", "1")
    assert "--observed and --labels" in done.err
    done = promptmlr(*arguments[:-2], "--out", photos / "grid", "--folds", "3", "--labels", "40")
    assert done.code == 0, done.err
    assert 0 < float(cells(photos / "grid")["dualembedding", "all"]["mean_ap"]) <= 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--folds", "60"), "--folds 60: there are 32 images"),
        (("--folds", "1"), "--folds"),
        (("--folds", "2", "--labels", "50"), "--labels 50 (fold 1 of 2): 50 labels are asked for, and "),
        (("--folds", "32"), "no class has a label present, so nothing can be scored"),
        (("--unseen", "2"), "--unseen 2: of 5 classes"),
        (("--unseen", "clowd"), "no class 'clowd' in the data; did you mean 'cloud'"),
        (("--design", "--folds", "2"), "leave out --folds"),
        (("--design", "--unseen", "0.2"), "leave out --unseen"),
        (("--design", "--select", "val"), "leave out --select"),
        (("--design", "--shared-context"), "leave out --shared-context"),
    ],
)
def test_parts_that_cannot_be_are_refused(promptmlr, photos: Path, options, words: str) -> None:
    small = SMALL if "--labels" not in options else SMALL[:-2]
    methods = () if "--design" in options else ("--methods", "zeroshot")
    done = promptmlr("compare", photos / "labels.csv", "--out", photos / "grid", *methods, *small, *options)
    assert done.code == 2
    assert words in done.err
    assert not (photos / "grid").exists()


def test_unseen_classes_are_hidden_from_training_and_scored_apart(promptmlr, photos: Path) -> None:
    """Seen classes score as where the others are no columns at all; those stay where zero-shot and the starts are."""
    names = load_data(str(photos / "labels.csv")).class_names
    unseen = names[1], names[3]
    out, without, methods = photos / "grid", photos / "without", ("--methods", "dualembedding,baseline", *SMALL)
    arguments = ("compare", photos / "labels.csv", "--out", out, *methods, "--start", "agnostic")
    done = promptmlr(*arguments, "--unseen", ",".join(unseen))
    assert done.code == 0, done.err
    table = rewritten(photos, "fewer.csv", lambda row: [row[0], row[1], row[2], row[4], row[6]])
    assert promptmlr("compare", table, "--out", without, *methods, "--start", "agnostic").code == 0
    for method in ("dualembedding", "baseline", "zeroshot"):
        assert score(out, method, "seen") == pytest.approx(score(without, method), abs=1e-5)
        seen, hidden, whole = (score(out, method, group) for group in ("seen", "unseen", "all"))
        assert whole == pytest.approx((3 * seen + 2 * hidden) / 5)
    test = load_data(str(photos / "labels.csv"), purpose="test").labels[:, [1, 3]]
    assert score(out, "baseline", "unseen") == pytest.approx((test == 1).mean())  # it says one half of every image
    assert float(cells(out)["baseline", "unseen"]["log_loss"]) == pytest.approx(np.log(2))
    assert f"Unseen in training are 2 of 5 classes: {', '.join(unseen)}." in done.out.replace("\n", " ")
    assert "baseline: nothing; each side keeps its start" in done.out
    assert json.loads((out / "settings.json").read_text())["baseline at 1.0"]["unseen"] == sorted(unseen)
    other = promptmlr(*arguments, "--unseen", names[0])
    assert (other.code, "another --unseen" in other.err) == (2, True)
    again = promptmlr(*arguments, "--unseen", ",".join(unseen))
    assert (again.code, "3 finished before" in again.err) == (0, True)


def test_a_folder_of_an_older_version_goes_on(promptmlr, photos: Path) -> None:
    """Without scores of the three most probable classes, which are then dashes of its methods."""
    out, later = photos / "grid", ("cf1_top3", "of1_top3", "f1_at_3")
    command = ("compare", photos / "labels.csv", "--out", out, *SMALL)
    assert promptmlr(*command, "--methods", "baseline").code == 0
    for name in ("cells.csv", "table.csv"):
        rows = [{key: row[key] for key in row if key not in later} for row in csv_rows(out / name)]
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
        (out / name).write_text("".join(f"{line}\n" for line in lines))
    done = promptmlr(*command, "--methods", "baseline,dualembedding")
    assert (done.code, "2 finished before" in done.err) == (0, True), done.err
    top = done.out[done.out.index("three most probable classes") :].splitlines()
    shown = {
        line.split()[0]: line.split()[1:] for line in top if line.split()[:1] != ["method"] and len(line.split()) == 4
    }
    assert shown["baseline"] == shown["zeroshot"] == ["–"] * 3
    assert "–" not in shown["dualembedding"]


SINGLE = (
    *("--backbone", "scenes", "--workers", "0", "--seeds", "1"),
    *("--observed", "single-positive", "--methods", "baseline", "--select", "val"),
)


def held_out(photos: Path) -> list[str]:
    """Names of the images that `--select val` chooses epochs on."""
    train = load_data(str(photos / "labels.csv"))
    every = np.ones(len(train.images), dtype=np.bool_)
    return [train.image_ids[row] for row in np.flatnonzero(hold_out_images(Fold(every, every)).validated)]


def test_epochs_are_chosen_on_clean_labels_of_images_that_are_held_out(promptmlr, photos: Path, monkeypatch) -> None:
    """Each epoch is said to be worse than the one before: the first of four is kept, and is that of a single epoch."""
    falling, asked = itertools.count(), []

    def worse(folded, source, labels) -> list[float]:
        asked.append(labels)
        return [-next(falling)] * len(folded)

    monkeypatch.setattr(grid_cells, "mean_aps", worse)
    for epochs in ("4", "1"):
        done = promptmlr("compare", photos / "labels.csv", "--out", photos / epochs, *SINGLE, "--epochs", epochs)
        assert done.code == 0, done.err
    train = load_data(str(photos / "labels.csv"))
    rows = [train.image_ids.index(name) for name in held_out(photos)]
    assert len(rows) == 6
    np.testing.assert_array_equal(asked[0], train.labels[rows])
    four, one = (cells(photos / epochs)["baseline", "all"] for epochs in ("4", "1"))
    assert (four["epoch"], four["mean_ap"]) == ("1", one["mean_ap"])
    assert "held out with all labels that they have" in done.out.replace("\n", " ")
    assert json.loads((photos / "4" / "settings.json").read_text())["baseline at single-positive"]["select"] == "val"


def test_nothing_is_trained_on_what_is_held_out(promptmlr, photos: Path) -> None:
    """With one epoch there is no choice, and other labels of the held-out images change nothing."""
    held, flipped = set(held_out(photos)), {"0": "1", "1": "0"}
    table = rewritten(
        photos,
        "other.csv",
        lambda row: row if row[0] not in held else [*row[:2], *(flipped.get(c, c) for c in row[2:])],
    )
    for name, data in (("a", photos / "labels.csv"), ("b", table)):
        command = ("compare", data, "--out", photos / name, *SINGLE, "--epochs", "1")
        done = promptmlr(*command)
        assert done.code == 0, done.err
    assert score(photos / "a", "baseline") == score(photos / "b", "baseline")
    done = promptmlr("compare", table, "--out", photos / "b", *SINGLE[:-2], "--epochs", "1")
    assert (done.code, 'another --select ("val" there, "last" here)' in done.err) == (2, True)


def test_shared_contexts_reach_unseen_classes(promptmlr, photos: Path) -> None:
    """Class-specific ones stay where they began: on both sides at the same words, so that nothing is known."""
    unseen, found = ("--unseen", "0.4", "--methods", "dualcoop", *SMALL), {}
    for name, options in {"own": (), "shared": ("--shared-context",)}.items():
        out = photos / name
        done = promptmlr("compare", photos / "labels.csv", "--out", out, *unseen, *options)
        assert done.code == 0, done.err
        found[name] = cells(out)["dualcoop", "unseen"]
    assert float(found["own"]["log_loss"]) == pytest.approx(np.log(2), abs=1e-4)
    assert abs(float(found["shared"]["log_loss"]) - np.log(2)) > 1e-3
    assert "one context for all classes" in done.out
    assert "dualcoop: the class's name in the contexts that were learned from the seen classes." in done.out


def test_unseen_classes_in_folds(promptmlr, photos: Path) -> None:
    out = photos / "grid"
    done = promptmlr(
        "compare",
        photos / "labels.csv",
        "--out",
        out,
        "--unseen",
        "0.4",
        "--folds",
        "2",
        "--methods",
        "baseline",
        *SMALL,
    )
    assert done.code == 0, done.err
    assert {classes for _, classes in cells(out)} == {"all", "seen", "unseen"}
    assert "mAP in percent of unseen classes (table.csv)" in done.out


def test_a_cell_says_what_its_own_run_says(promptmlr, tmp_path: Path) -> None:
    """Of ranking and of probabilities: a prior, its strength and its calibration are those of `train`."""
    options = ("--observed", "0.2", "--workers", "0")
    grid = ("compare", "scenes", "--methods", "anchored", "--seeds", "1", "--out", tmp_path / "grid")
    assert promptmlr(*grid, *options).code == 0
    assert promptmlr("train", "scenes", *options, "--out", tmp_path / "run").code == 0
    assert promptmlr("evaluate", tmp_path / "run", "scenes", "--resamples", "0", "--workers", "0").code == 0
    compared = json.loads((tmp_path / "run" / "evaluation.json").read_text())["compared"]
    cells = {row["method"]: row for row in csv_rows(tmp_path / "grid" / "cells.csv")}
    for name in ("mean_ap", "log_loss", "calibration_error"):
        assert float(cells["anchored"][name]) == pytest.approx(compared[0][name], abs=2e-5), name


def test_what_unknown_labels_cost_is_compared_too(promptmlr, photos: Path) -> None:
    grid = ("compare", photos / "labels.csv", "--methods", "anchored", "--observed", "single-positive", "--seeds", "1")
    losses = []
    for cost in ("hill", "entropy"):
        done = promptmlr(*grid, "--backbone", "scenes", "--unknown", cost, "--out", photos / cost, "--workers", "0")
        assert done.code == 0, done.err
        assert f"Recipe default, but unknown {cost}." in done.out
        losses.append(next(row["log_loss"] for row in csv_rows(photos / cost / "cells.csv")))
    assert losses[0] != losses[1]
    done = promptmlr(*grid, "--unknown", "hil", "--out", photos / "none")
    assert (done.code, "no cost 'hil'" in done.err.splitlines()[-1]) == (2, True)
