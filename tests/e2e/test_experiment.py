"""`promptmlr experiment absence`: a small one, stopped twice."""

import re
from pathlib import Path

import pytest

from promptmlr.paper.absence import running
from support import csv_rows

NUMBER = re.compile(r"\d+\.\d+")

SMALL = (
    *("--rates", "0.0047,0.6", "--text-sides", "1", "--observed", "0.3,0.9", "--seeds", "2", "--steps", "20"),
    *("--scenes", "100", "--train-scenes", "200", "--test-scenes", "100", "--epochs", "1", "--most-epochs", "1"),
)


@pytest.mark.slow
def test_a_small_experiment_is_stopped_and_goes_on(promptmlr, tmp_path: Path, monkeypatch) -> None:
    out, page = tmp_path / "absence", tmp_path / "absence.html"
    command = ("experiment", "absence", "--out", out, *SMALL)
    stopped = promptmlr(*command, "--minutes", "0")
    assert (stopped.code, stopped.err.splitlines()[-1]) == (
        2,
        "error: --minutes are over; repeat the command to continue",
    )
    assert not (out / "cells.csv").exists()

    real, scored = running._score_one, []

    def interrupted(world, task):
        scored.append(task)
        if len(scored) == 5:
            raise KeyboardInterrupt
        return real(world, task)

    with monkeypatch.context() as patch:
        patch.setattr(running, "_score_one", interrupted)
        assert promptmlr(*command).code == 130
    before = {path: path.read_bytes() for path in (out / "towers").iterdir()}
    assert len(before) == 2
    assert len(csv_rows(out / "cells.csv")) == 4 * 2

    done = promptmlr(*command, "--report", page)
    assert done.code == 0, done.err
    assert {path: path.read_bytes() for path in (out / "towers").iterdir()} == before
    cells = csv_rows(out / "cells.csv")
    assert len(cells) == 2 * 2 * (2 * 7 + 1)  # fractions, masks; text sides and methods; the baseline once
    assert len([cell for cell in cells if cell["method"] == "linear+linear"]) == 4
    assert len(csv_rows(out / "probes.csv")) == 2
    assert NUMBER.findall((out / "absence.md").read_text()) == NUMBER.findall(done.out)  # the same, set as lines
    assert "One text side per rate" in done.out
    assert "<table>" in page.read_text()

    more = promptmlr(*command, "--seeds", "3", "--minutes", "0")
    assert (more.code, more.err.splitlines()[-1]) == (stopped.code, stopped.err.splitlines()[-1])
    other = promptmlr("compare", "scenes", "--out", out, "--methods", "zeroshot")
    assert other.code == 2
    assert "holds the work of `experiment absence`, not of `compare`" in other.err

    refused = promptmlr(*command, "--steps", "21")
    assert refused.code == 2
    assert "another steps" in refused.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--rates", "0,0.6"), "must hold 0.0047"),
        (("--rates", "0,0.0047"), "a larger one"),
        (("--rates", "0.0047,6"), "not a share"),
        (("--rates", "many"), "--rates"),
    ],
)
def test_wrong_rates_are_refused(promptmlr, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    done = promptmlr("experiment", "absence", "--out", tmp_path / "x", *options)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert message in done.err
    assert not (tmp_path / "x").exists()
