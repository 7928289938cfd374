"""What is said of published and of chosen settings is what the recipe says, cell by cell."""

from pathlib import Path

import pytest

from promptmlr.paper.grid.origins import SettingOrigins
from promptmlr.paper.grid.plan import Grid
from support import csv_rows

METHODS = ("dualcoop", "baseline", "negativecoop", "positivecoop")
SHARES = (0.1, 0.5, 0.9)


def grid(benchmark: str, **changes) -> Grid:
    return Grid(METHODS, SHARES, 1, 0, "released", changes, benchmark)


@pytest.mark.parametrize(
    ("benchmark", "place"), [("voc2007", "negativecoop at 90 %"), ("coco2014", "dualcoop at 50 %")]
)
def test_one_place_of_each_benchmark_was_published_whole(benchmark: str, place: str) -> None:
    first, *rest = SettingOrigins(grid(benchmark)).notes()
    assert first.startswith("1 of 12 cells")
    assert first.endswith(f"alone: {place}.")
    kinds = [note.split(" ", 1)[0] for note in rest]
    assert kinds == sorted(kinds, reverse=True)  # published before chosen
    assert set(kinds) == {"Published", "Chosen"}


def test_what_is_asked_for_was_not_published() -> None:
    notes = SettingOrigins(grid("voc2007", epochs=3, offset=None)).notes()
    assert notes[0].startswith("0 of 12 cells")
    assert any(
        "(asked for): dualcoop and baseline and negativecoop and positivecoop: epochs." in note for note in notes
    )


def test_each_cell_and_setting_is_a_line(tmp_path: Path) -> None:
    SettingOrigins(grid("voc2007")).write(tmp_path / "origins.csv")
    rows = csv_rows(tmp_path / "origins.csv")
    settings: dict[str, set[str]] = {}
    for row in rows:
        settings.setdefault(row["method"], set()).add(row["setting"])
    common = {"loss_weight", "epochs"}
    assert settings["baseline"] == {"linear_rate", *common}
    assert settings["dualcoop"] == {"context_rate", "class_specific", *common}
    assert settings["positivecoop"] == {"context_rate", "embedding_rate", "class_specific", *common}
    assert len(rows) == 3 * (3 + 4 + 5 + 5)
    assert all(row["origin"] for row in rows)
