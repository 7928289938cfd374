"""`promptmlr experiment claim`: a small one, and going on with it."""

from pathlib import Path

import numpy as np
import pytest

from promptmlr.paper.claim import running
from promptmlr.paper.claim.plan import PAIRS, ROWS, ZERO_SHOT, Plan
from support import csv_rows

SMALL = ("--train-scenes", "40", "--test-scenes", "40", "--seeds", "2", "--observed", "0.3,0.9", "--scenes", "40")
TEXT = ("--steps", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("claim") / "out"


def test_effects_follow_from_the_cells(promptmlr, folder: Path) -> None:
    stopped = promptmlr("experiment", "claim", *SMALL, *TEXT, "--out", folder, "--minutes", "0")
    assert "repeat the command" in stopped.err
    done = promptmlr("experiment", "claim", *SMALL, *TEXT, "--out", folder, "--report", folder / "page.html")
    assert done.code == 0, done.err
    cells = {
        (row["method"], row["observed"], row["seed"]): 100 * float(row["mean_ap"])
        for row in csv_rows(folder / "cells.csv")
    }
    assert len(cells) == len(ROWS) * 2 * (3 * 2 + 2 + 1)
    place = "scenes, scenes:usual:11"
    means = {
        pair: np.mean([cells["+".join(pair) + f" on {place}", "0.3", str(seed)] for seed in range(2)]) for pair in PAIRS
    }
    starts = {tower: cells[f"{ZERO_SHOT} on {tower}, scenes:usual:11", "0.3", "0"] for tower in Plan().all_towers}
    assert len(set(starts.values())) == 3  # each tower has texts of its own
    rows = csv_rows(folder / "effects.csv")
    for side, part in (("presence", 0), ("absence", 1)):
        wanted = sum((0.5 if pair[part] == "prompt" else -0.5) * mean for pair, mean in means.items())
        found = [row for row in rows if row["side"] == side and row["comparison"] == f"{place} at 0.3"]
        assert float(found[0]["points"]) == pytest.approx(wanted, abs=1e-9)
    assert "What could be seen" in done.out
    assert len(csv_rows(folder / "power.csv")) == 12
    assert "<table>" in (folder / "page.html").read_text(encoding="utf-8")


def test_what_is_finished_is_not_done_again(promptmlr, folder: Path, monkeypatch) -> None:
    before = {name: (folder / name).read_bytes() for name in ("claim.md", "power.csv", "effects.csv")}
    monkeypatch.setattr(running, "train", None)
    done = promptmlr("experiment", "claim", *SMALL, *TEXT, "--out", folder)
    assert done.code == 0, done.err
    assert before == {name: (folder / name).read_bytes() for name in before}
    refused = promptmlr("experiment", "claim", *SMALL, "--steps", "3", "--out", folder)
    assert refused.code == 2
    assert "another steps" in refused.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--worlds", "scenes:usual:1"), "--worlds compares two"),
        (("--worlds", "scenes:usual:1,scenes:dark:2"), "dark"),
        (("--caption-share", "3"), "is not a share"),
        (("--observed", "0.1"), "--observed gives one"),
        (("--observed", "0.1,1.5"), "1.5"),
        (("--seeds", "1"), "--seeds gives one"),
        (("--pilot-world", "scenes:usual:11"), "a pilot needs a world of its own"),
    ],
)
def test_a_design_that_compares_nothing_is_refused(promptmlr, tmp_path: Path, options, message: str) -> None:
    done = promptmlr("experiment", "claim", "--out", tmp_path / "x", *options)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert message in done.err
    assert not (tmp_path / "x").exists()
