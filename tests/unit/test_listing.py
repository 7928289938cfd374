"""`promptmlr runs`: every run once, damaged ones by name, and in what two differ."""

import csv
import dataclasses
import io
import json
import shutil
from pathlib import Path

import pytest

from promptmlr.errors import UserError
from promptmlr.listing import SORTED_BY, compare_runs, list_runs, rows_as_csv, rows_as_text
from support import StopAfter, scenes_run


@pytest.fixture(scope="module")
def made(scenes_backbone, tmp_path_factory) -> Path:
    """Two whole runs, one of them deeper and chosen on held-out labels, and one that was stopped in its epochs."""
    folder = tmp_path_factory.mktemp("made")
    scenes_run(folder / "one", epochs=1, backbone=scenes_backbone)
    scenes_run(folder / "deep" / "two", epochs=2, backbone=scenes_backbone, seed=3, select="val")
    with pytest.raises(KeyboardInterrupt):
        scenes_run(folder / "three", "baseline", epochs=4, backbone=scenes_backbone, followers=[StopAfter(1)])
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "runs"))


def test_every_run_is_listed_with_what_its_files_say(runs: Path) -> None:
    (runs / "deep" / "model").mkdir()
    (runs / "deep" / "model" / "config.json").write_text("{}")  # of something else
    (runs / ".hidden").mkdir()
    shutil.copytree(runs / "one", runs / ".hidden" / "run")
    rows, damaged = list_runs(runs)
    assert not damaged
    assert [row.run for row in rows] == ["deep/two", "one", "three.partial"]
    two, one, three = rows
    metrics = json.loads((runs / "deep" / "two" / "metrics.json").read_text())
    evaluation = json.loads((runs / "deep" / "two" / "evaluation.json").read_text())
    assert (two.method, two.seed, two.epochs, two.select) == ("dualembedding", 3, 2, "val")
    assert (two.learned, two.selection) == (metrics["learned_parameters"], metrics["selection_map"])
    assert [two.map, two.low, two.high] == [evaluation["mean_ap"], *evaluation["mean_ap_interval"]]
    assert (one.selection, one.state) == (None, "finished")
    assert (three.state, three.method, three.map, three.learned) == ("epoch 1 of 4", "baseline", None, None)
    assert three.seconds > 0

    text = "\n".join(rows_as_text(rows))
    assert "all: backbone scenes 128 px\n" in text
    assert "all: method" not in text
    other = dataclasses.replace(one, backbone="RN101 openai 448 px")
    numbered = "\n".join(rows_as_text([one, other, one]))
    assert "backbone 1: scenes 128 px\nbackbone 2: RN101 openai 448 px\n" in numbered
    assert [line.split()[1] for line in numbered.splitlines()[-3:]] == ["1", "2", "1"]
    alone = "\n".join(rows_as_text([one, one]))
    assert "all: method dualembedding\n" in alone
    assert "selection" not in alone
    assert "selection" in text
    assert f"{100 * evaluation['mean_ap']:.1f} (" in text
    table = list(csv.DictReader(io.StringIO(rows_as_csv(rows))))
    assert [row["run"] for row in table] == ["deep/two", "one", "three.partial"]
    assert float(table[0]["map"]) == evaluation["mean_ap"]
    assert table[2]["map"] == ""


@pytest.mark.parametrize("sort", SORTED_BY)
def test_sorting_puts_what_is_not_known_last(runs: Path, sort: str) -> None:
    rows, _ = list_runs(runs, sort)
    values = [getattr(row, sort) for row in rows]
    known = [value for value in values if value is not None]
    assert values == [*known, *[None] * (len(values) - len(known))]
    assert known == sorted(known, reverse=sort in ("map", "selection", "date"))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("weights.safetensors", b"cut"),
        ("config.json", b"{}"),
        ("metrics.json", b"[1]"),
        ("metrics.json", b"{"),
        ("metrics.json", b'{"learned_parameters": 1, "seconds": 1, "selection_map": "high"}'),
        ("metrics.jsonl", b'{"epoch": 1}\n'),
        ("evaluation.json", b'{"mean_ap": 1}'),
        ("calibration.json", b"{}"),
        ("weights.safetensors", None),
    ],
)
def test_a_damaged_run_is_named_and_stops_nothing(runs: Path, file: str, content: bytes | None) -> None:
    path = runs / "one" / file
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    rows, damaged = list_runs(runs, "map")
    assert [row.run for row in rows] == ["deep/two", "three.partial"]
    assert len(damaged) == 1
    assert str(runs / "one") in damaged[0]
    assert "\n" not in damaged[0]


def test_what_differs_is_shown_and_scores_where_they_can_be(runs: Path) -> None:
    found = compare_runs(runs, "one", "deep/two")
    settings = {key: values for key, *values in found.settings}
    assert settings["seed"] == ["0", "3"]
    assert settings["recipe.epochs"] == ["1", "2"]
    assert "method" not in settings
    scores = {name: (one, other) for name, one, other in found.scores}
    first, second = (json.loads((runs / name / "evaluation.json").read_text()) for name in ("one", "deep/two"))
    assert scores["mAP"] == (first["mean_ap"], second["mean_ap"])
    assert f"{100 * (second['mean_ap'] - first['mean_ap']):+.1f}".replace("-", "−") in "\n".join(found.lines())

    (runs / "one" / "evaluation.json").write_text(json.dumps(first | {"images": 3}))
    other = compare_runs(runs, "one", "deep/two")
    assert (other.scores, "other data" in other.remark) == ([], True)
    assert compare_runs(runs, "one", "three").names == ("one", "three")


def test_what_is_not_there_is_said(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'one'"):
        compare_runs(runs, "one", "onee")
    with pytest.raises(UserError, match="no such column; did you mean 'map'"):
        list_runs(runs, "mapp")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no run folder"):
        list_runs(tmp_path / "empty")
    with pytest.raises(UserError, match="no folder"):
        list_runs(tmp_path / "nowhere")
