"""What a folder of cells says when it is continued with other settings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promptmlr.errors import UserError
from promptmlr.paper.grid.folder import Cell, GridFolder, settings_key


@pytest.mark.parametrize(
    ("there", "here", "words"),
    [
        ({"order_seed": 0}, {"order_seed": 1}, "another --order-seed (0 there, 1 here)"),
        ({"recipe": {"epochs": 3}}, {"recipe": {"epochs": 4}}, "another recipe, epochs (3 there, 4 here)"),
        ({"recipe": {"old": 1, "epochs": 3}}, {"recipe": {"epochs": 3}}, "another recipe, old (1 there, null here)"),
        ({"recipe": {"new": None}}, {"recipe": {}}, "another recipe, new"),
        ({"train": "a" * 64}, {"train": "b" * 64}, "another set of training images; name"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, there: dict, here: dict, words: str) -> None:
    with GridFolder(tmp_path, "compare").held({"baseline at 0.1": there}):
        pass
    with GridFolder(tmp_path, "compare").held({"baseline at 0.1": there}):
        pass
    with pytest.raises(UserError) as error, GridFolder(tmp_path, "compare").held({"baseline at 0.1": here}):
        pass
    assert words in str(error.value)


def finished(folder: Path) -> GridFolder:
    grid = GridFolder(folder, "compare")
    with grid.held({"baseline at 0.1": {}}):
        for seed in range(2):
            grid.add(Cell("baseline", 0.1, seed, 0.5, 0.4, 0.3, 0.2, 0.1, 7, 3, 1.0, 0.75, 0.25), np.full(4, 0.5))
        grid.save()
    return grid


def test_what_the_three_most_probable_classes_scored_is_kept(tmp_path: Path) -> None:
    grid, more = finished(tmp_path), {"cf1_top3": 0.6, "of1_top3": 0.7, "f1_at_3": 0.8}
    key = ("baseline", 0.1, 0, "all")
    with grid.held({}):
        grid.add(replace(grid.cells[key], **more), np.full(4, 0.5))
        grid.save()
    again = GridFolder(tmp_path, "compare")
    with again.held({}):
        pass
    assert again.cells[key].f1_at_3 == 0.8
    found = again.results(["baseline"], [0.1], 2).other_metrics  # the second seed is of an older version
    assert [found[name][0, 0, 0] for name in more] == list(more.values())
    assert np.isnan(found["f1_at_3"][0, 0, 1])
    (tmp_path / "cells.csv").write_text((tmp_path / "cells.csv").read_text().replace(",0.8", ",1.8"))
    with pytest.raises(UserError, match=r"scores lie in 0\.\.1"), GridFolder(tmp_path, "compare").held({}):
        pass


def test_folders_of_older_versions_are_read(tmp_path: Path) -> None:
    """Fractions as numbers in both tables, and neither log loss nor calibration error."""
    before = finished(tmp_path)
    rows = pq.read_table(tmp_path / "resampled.parquet").to_pylist()
    older = [row | {"observed": float(row["observed"])} for row in rows]
    pq.write_table(pa.Table.from_pylist(older), tmp_path / "resampled.parquet")
    lines = (tmp_path / "cells.csv").read_text().splitlines()
    (tmp_path / "cells.csv").write_text("".join(",".join(line.split(",")[:11]) + "\n" for line in lines))
    after = GridFolder(tmp_path, "compare")
    with after.held({}):
        after.save()
    assert after.cells == {
        key: replace(cell, log_loss=None, calibration_error=None) for key, cell in before.cells.items()
    }
    results = after.results(["baseline"], [0.1], 2)
    assert results.scores.tolist() == [[[0.5, 0.5]]]
    assert np.isnan(results.other_metrics["log_loss"]).all()
    with GridFolder(tmp_path, "compare").held({}):
        pass


def test_cells_of_all_protocols_stand_side_by_side(tmp_path: Path) -> None:
    grid, observed = GridFolder(tmp_path, "compare"), [0.1, 1.0, "single-positive", "positive-only:0.3", "400 labels"]
    with grid.held({settings_key("baseline", seen): {} for seen in observed}):
        for number, seen in enumerate(observed):
            grid.add(Cell("baseline", seen, 0, number / 10, 0.4, 0.3, 0.2, 0.1, 7, 3, 1.0, 0.5, 0.25), np.full(4, 0.5))
        grid.save()
    again = GridFolder(tmp_path, "compare")
    with again.held({}):
        pass
    assert again.cells == grid.cells
    assert again.results(["baseline"], observed, 1).scores[0, :, 0].tolist() == [0.0, 0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("cells.csv", "0.5", "7.5"),
        ("cells.csv", "0.5", "nan"),
        ("cells.csv", "0.5", ""),
        ("cells.csv", "0.4", "much"),
        ("cells.csv", ",0.75,", ",much,"),
        ("cells.csv", ",1,", ",0,"),
        ("cells.csv", "0.1,1,", "some labels,1,"),
        ("cells.csv", ",0.75,", ",-1,"),
        ("cells.csv", ",0.25", ",2.5"),
        ("settings.json", "baseline at 0.1", "kind"),
        ("settings.json", "{", '{"a":' * 100_000),
    ],
)
def test_damaged_folders_are_refused(tmp_path: Path, name: str, old: str, new: str) -> None:
    before = finished(tmp_path)
    with GridFolder(tmp_path, "compare").held({}):
        pass
    path = tmp_path / name
    path.write_text(path.read_text().replace(old, new))
    after = GridFolder(tmp_path, "compare")
    with pytest.raises(UserError, match="is damaged"), after.held({}):
        pass
    assert len(before.cells) == 2


@pytest.mark.parametrize("scores", [[0.5], [], [None] * 4, [0.5, 0.5, 0.5, 1.5]])
def test_damaged_resamples_are_refused(tmp_path: Path, scores: list) -> None:
    finished(tmp_path)
    rows = pq.read_table(tmp_path / "resampled.parquet").to_pylist()
    rows[1]["mean_ap"] = scores
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "resampled.parquet")
    with pytest.raises(UserError, match="is damaged"), GridFolder(tmp_path, "compare").held({}):
        pass
