"""`promptmlr cost`."""

from pathlib import Path

import pytest

from support import csv_rows


def test_costs_are_printed_and_kept(promptmlr, tiny_checkpoint: Path, tmp_path: Path) -> None:
    options = ("--classes", "dog, cat,tea_cup", "--batch-size", 2, "--context-length", 4, "--images", 10)
    done = promptmlr("cost", "--backbone", tiny_checkpoint, *options, "--out", tmp_path / "cost")
    assert done.code == 0, done.err
    kept = csv_rows(tmp_path / "cost" / "cost.csv")
    assert len(kept) == 10
    for row in kept:
        cells = f"{row['method']} {row['way']} {int(row['learned']):,}"
        assert cells in " ".join(done.out.split())
        assert f"{float(row['step_seconds']):.3g}" in done.out
        assert (row["classes"], row["batch_size"], row["image_size"]) == ("3", "2", "64")
    lines = {tuple(line.split()[:3]): line for line in done.out.splitlines()}
    assert lines["baseline", "as", "released"].endswith("7.97 GPU h")
    assert lines["baseline", "as", "here"].endswith("–")
    ratio = 4 * 64 / 97
    assert f"M·W / (D + 1) = {ratio:.2f}" in " ".join(done.out.split())
    found = csv_rows(tmp_path / "cost" / "claims.csv")
    assert {float(row["found"]) for row in found if row["quantity"] == "learned parameters"} == {ratio}
    assert {row["verdict"] for row in found if row["quantity"] == "learned parameters"} == {"smaller"}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--classes", "0"), "--classes"),
        (("--classes", "dog,dog"), "duplicate"),
        (("--backbone", "RN102"), "RN101"),
        (("--backbone", "scenes", "--context-length", "99"), "context_length"),
        (("--backbone", "scenes", "--image-size", "100"), "multiple"),
        (("--backbone", "scenes", "--device", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_are_one_line(promptmlr, options: tuple[str, ...], word: str) -> None:
    done = promptmlr("cost", *options)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert word in done.err
