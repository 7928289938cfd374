"""`promptmlr experiment few-labels`: grids over worlds, tables that follow from their cells, and nothing done twice."""

from pathlib import Path

import numpy as np
import pytest

from promptmlr import labels as codes
from promptmlr.data import DataOptions, load_data
from promptmlr.paper.few_labels import running
from support import csv_rows

WORLDS = ("scenes:usual:21", "scenes:crowded:22")
SMALL = ("--worlds", ",".join(WORLDS), "--labels", "60,400", "--ticked", "40", "--methods", "baseline")
SIZE = ("--seeds", "2", "--train-scenes", "60", "--test-scenes", "60")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("few-labels") / "out"


def test_tables_follow_from_the_cells_of_the_grids(promptmlr, folder: Path) -> None:
    done = promptmlr("experiment", "few-labels", *SMALL, *SIZE, "--out", folder, "--report", folder / "page.html")
    assert done.code == 0, done.err
    rows = {(row["world"], row["labels"], row["method"]): row for row in csv_rows(folder / "cells.csv")}
    assert len(rows) == 2 * (2 * 3 + 2)
    for (world, labels, method), row in rows.items():
        grid = "single-positive-40" if labels.startswith("one tick") else "labels"
        cells = [
            cell
            for cell in csv_rows(folder / world.replace(":", "-") / grid / "cells.csv")
            if cell["method"] == method and (grid == "single-positive-40" or cell["observed"] == labels)
        ]
        assert len(cells) == 2
        for name in ("mean_ap", "log_loss", "calibration_error"):
            assert float(row[name]) == pytest.approx(np.mean([float(cell[name]) for cell in cells]), abs=1e-9)
        assert float(row["worst"]) == min(float(cell["mean_ap"]) for cell in cells)
    for world in WORLDS:
        few, plain = rows[world, "60 labels", "anchored"], rows[world, "60 labels", "zeroshot"]
        gain = 100 * (float(few["mean_ap"]) - float(plain["mean_ap"]))
        shown = f"{gain:+.1f} (worst".replace("-", "−")
        assert shown in done.out or abs(gain) < 0.05
    assert (folder / "few-labels.png").read_bytes().startswith(b"\x89PNG")
    assert "One tick per image and nothing else" in (folder / "page.html").read_text(encoding="utf-8")


def test_what_is_finished_is_not_done_again(promptmlr, folder: Path, monkeypatch) -> None:
    before = (folder / "few-labels.md").read_text(encoding="utf-8")
    monkeypatch.setattr("promptmlr.paper.grid.cells.fit_runs", None)
    done = promptmlr("experiment", "few-labels", *SMALL, *SIZE, "--out", folder)
    assert done.code == 0, done.err
    assert (folder / "few-labels.md").read_text(encoding="utf-8") == before


def test_ticks_are_one_present_label_of_each_image(monkeypatch) -> None:
    """And numbers of labels are drawn from the same images, whatever is ticked."""
    seen = []
    monkeypatch.setattr(running, "compare", lambda grid, train, test, *_: seen.append((grid, train, test)))
    plan = running.FewLabels(["scenes:grainy:23"], [50], [10], ["baseline"], 3, 20, 30)
    for task in (None, 10):
        running._grid((plan, Path("nowhere")), ("scenes:grainy:23", task))
    (known, train, test), (ticks, ticked, _) = seen
    assert (known.methods, ticks.methods) == (["anchored", "zeroshot", "baseline"], ["anchored", "zeroshot"])
    assert (len(train.labels), len(test.labels), len(ticked.labels)) == (20, 30, 10)
    assert (ticked.labels == train.labels[:10]).all()
    assert (known.seeds, ticks.observed) == (3, ["single-positive"])
    whole = load_data("scenes:grainy:23", options=DataOptions(scenes_train=20))
    assert (train.labels == whole.labels).all()
    assert (train.labels != codes.UNKNOWN).all()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("--worlds", "scenes:nowhere:1"), "nowhere"),
        (("--methods", "positivecop"), "unknown method 'positivecop'"),
        (("--labels", "60,many"), "many"),
        (("--labels", "90000"), "90000"),
    ],
)
def test_what_cannot_be_done_is_one_line(promptmlr, tmp_path: Path, changed: tuple[str, str], said: str) -> None:
    done = promptmlr("experiment", "few-labels", *SMALL, *SIZE, *changed, "--out", tmp_path / "out")
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("error: ")
    assert said in done.err.splitlines()[-1]
