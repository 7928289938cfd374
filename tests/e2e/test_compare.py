"""`promptmlr compare`: a grid, its files, and going on where it was interrupted."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from promptmlr.experiments import compare as module
from promptmlr.experiments.compare import table
from promptmlr.experiments.grid_folder import Cell

SMALL = ("--backbone", "scenes", "--epochs", "1", "--workers", "0", "--seeds", "2", "--observed", "0.5,1")


def cells(out: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    with (out / "cells.csv").open(encoding="utf-8", newline="") as file:
        return {(row["method"], row["observed"], row["seed"]): row for row in csv.DictReader(file)}


def test_a_grid(promptmlr, photos: Path) -> None:
    out = photos / "grid"
    methods = ("--methods", "zeroshot,positivecoop")
    done = promptmlr("compare", photos / "labels.csv", "--out", out, *methods, *SMALL)
    assert done.code == 0, done.err
    found = cells(out)
    assert set(found) == {(m, f, s) for m in ("zeroshot", "positivecoop") for f in ("0.5", "1.0") for s in ("0", "1")}
    assert all(0 < float(row["mean_ap"]) <= 1 for row in found.values())
    assert len({row["mean_ap"] for key, row in found.items() if key[0] == "zeroshot"}) == 1
    assert done.out.strip() == (out / "table.md").read_text().strip()
    assert "| 50 % | 100 % |" in done.out


def test_a_cell_is_the_run_that_train_makes(promptmlr, photos: Path) -> None:
    table, out, run = photos / "labels.csv", photos / "grid", photos / "run"
    assert promptmlr("compare", table, "--out", out, "--methods", "dualembedding", *SMALL).code == 0
    options = ("--backbone", "scenes", "--epochs", "1", "--workers", "0", "--observed", "0.5", "--seed", "1")
    assert promptmlr("train", table, "--out", run, "--method", "dualembedding", *options).code == 0
    assert promptmlr("evaluate", run, table, "--resamples", "20").code == 0
    alone = json.loads((run / "evaluation.json").read_text())["mean_ap"]
    assert float(cells(out)["dualembedding", "0.5", "1"]["mean_ap"]) == pytest.approx(alone, abs=1e-6)


def test_an_interrupted_grid_goes_on(promptmlr, photos: Path, monkeypatch) -> None:
    out, whole = photos / "grid", photos / "whole"
    arguments = (photos / "labels.csv", "--methods", "baseline,dualembedding", *SMALL)
    real, trained = module.fit_runs, []

    def interrupted(runs, *rest, **options):
        trained.append(len(runs))
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(runs, *rest, **options)

    monkeypatch.setattr(module, "fit_runs", interrupted)
    assert promptmlr("compare", *arguments, "--out", out).code == 130
    assert {key[0] for key in cells(out)} == {"baseline"}
    assert promptmlr("compare", *arguments, "--out", out).code == 0
    assert trained == [4, 4, 4]
    assert promptmlr("compare", *arguments, "--out", whole).code == 0
    score = {key: row["mean_ap"] for key, row in cells(whole).items()}
    assert {key: row["mean_ap"] for key, row in cells(out).items()} == score


def test_cells_of_other_settings_are_not_mixed(promptmlr, photos: Path) -> None:
    out, table = photos / "grid", photos / "labels.csv"
    assert promptmlr("compare", table, "--out", out, "--methods", "dualembedding", *SMALL).code == 0
    refused = promptmlr("compare", table, "--out", out, "--methods", "dualembedding", *SMALL, "--start", "agnostic")
    assert refused.code == 2
    assert "another recipe" in refused.err
    more = promptmlr("compare", table, "--out", out, "--methods", "dualembedding,baseline", *SMALL)
    assert more.code == 0
    assert {key[0] for key in cells(out)} == {"dualembedding", "baseline"}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--methods", "positivcoop"), "'positivecoop'"),
        (("--methods", ","), "empty"),
        (("--observed", "0.1,x"), "'x'"),
        (("--observed", "0.1,2"), "outside"),
    ],
)
def test_bad_grids_are_refused(promptmlr, photos: Path, options: tuple[str, str], word: str) -> None:
    done = promptmlr("compare", photos / "labels.csv", "--out", photos / "grid", "--backbone", "scenes", *options)
    assert done.code == 2
    assert word in done.err
    assert not (photos / "grid").exists()


def test_the_table_shows_means_and_spreads() -> None:
    scores = {("a", 0.1): (0.2, 0.4), ("a", 0.5): (0.5, 0.5), ("b", 0.1): (0.1, 0.1), ("b", 0.5): (0.9, 0.7)}
    given = [
        Cell(method, fraction, seed, value, 1000, 1.0)
        for (method, fraction), values in scores.items()
        for seed, value in enumerate(values)
    ]
    lines = table(given).splitlines()
    assert lines[0] == "| method | 10 % | 50 % | learned |"
    assert lines[2] == f"| a | 30.0 ± {np.std([20, 40], ddof=1):.1f} | 50.0 ± 0.0 | 1,000 |"
    assert lines[3].startswith("| b | 10.0 ± 0.0 | 80.0 ± 14.1 |")
