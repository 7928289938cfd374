"""What a folder of cells says when it is continued with other settings."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promptmlr.errors import UserError
from promptmlr.experiments.grid.folder import Cell, GridFolder


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
            grid.add(Cell("baseline", 0.1, seed, 0.5, 0.4, 0.3, 0.2, 0.1, 7, 3, 1.0), np.full(4, 0.5))
        grid.save()
    return grid


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("cells.csv", "0.5", "7.5"),
        ("cells.csv", "0.5", "nan"),
        ("cells.csv", "0.5", ""),
        ("cells.csv", "0.4", "much"),
        ("cells.csv", ",1,", ",0,"),
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
