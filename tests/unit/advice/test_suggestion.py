"""What is asked next: uncertain cells, of classes with few positives, spread over images and classes."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptmlr.advice.suggestion import Suggestion, rank_cells, write_suggestions, write_tasks
from promptmlr.data import LabelledImages
from promptmlr.data.formats.label_studio import read_label_studio_rows
from promptmlr.data.images import ImageFile
from promptmlr.data.options import DataOptions
from support import csv_rows


def ranked(probabilities, unknown=None, present=None, count=100) -> list[tuple[int, int, float]]:
    found = np.array(probabilities, dtype=float)
    there = np.zeros(found.shape[1], int) if present is None else np.array(present)
    return rank_cells(found, np.ones(found.shape, bool) if unknown is None else np.array(unknown), there, count)


def test_the_least_certain_cell_comes_first() -> None:
    assert [row for row, _, _ in ranked([[0.9], [0.5], [0.2], [1.0]])] == [1, 2, 0, 3]


def test_known_cells_are_not_asked() -> None:
    assert [row for row, _, _ in ranked([[0.5], [0.4], [0.1]], unknown=[[False], [True], [True]])] == [1, 2]


def test_a_class_with_few_positives_comes_first() -> None:
    assert ranked([[0.4, 0.5]], present=[0, 99])[0][1] == 0


def test_one_image_does_not_take_all() -> None:
    probabilities = [[0.5] * 6, [0.3] * 6]
    assert {row for row, _, _ in ranked(probabilities, count=3)} == {0, 1}


def test_one_class_does_not_take_all() -> None:
    probabilities = np.tile([0.5, 0.25], (50, 1))
    columns = [column for _, column, _ in ranked(probabilities, count=20)]
    assert 6 < columns.count(0) < 14


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 5), st.integers(1, 70))
def test_it_is_the_greedy_choice(seed: int, images: int, classes: int, count: int) -> None:
    """Against the plain algorithm: look at all cells again for every choice."""
    rng = np.random.default_rng(seed)
    found, unknown = rng.random((images, classes)), rng.random((images, classes)) < 0.7
    present = rng.integers(0, 20, classes)
    left, of_image, of_class = unknown.copy(), np.zeros(images), np.zeros(classes)
    expected = []
    while left.any() and len(expected) < count:
        gain = np.sqrt(found * (1 - found) / (1 + present)) * 0.5 ** of_image[:, None]
        gain = np.where(left, gain / (1 + of_class * classes / count), -1)
        row, column = np.unravel_index(gain.argmax(), gain.shape)
        expected.append((row, column, gain[row, column]))
        left[row, column] = False
        of_image[row] += 1
        of_class[column] += 1
    chosen = ranked(found, unknown, present, count)
    assert [(row, column) for row, column, _ in chosen] == [(row, column) for row, column, _ in expected]
    assert [gain for _, _, gain in chosen] == pytest.approx([gain for _, _, gain in expected])


SUGGESTIONS = [
    Suggestion("b.jpg", 'a "dog", wet', 0.75, 0.3),
    Suggestion("a.jpg", "car", 0.25, 0.2),
    Suggestion("b.jpg", "car", 0.5, 0.1),
]


def test_they_are_written_in_rank_order(tmp_path: Path) -> None:
    write_suggestions(tmp_path / "s.csv", SUGGESTIONS)
    rows = csv_rows(tmp_path / "s.csv")
    assert [(row["image"], row["class"]) for row in rows] == [(one.image_id, one.class_name) for one in SUGGESTIONS]
    assert float(rows[0]["probability"]) == 0.75


def test_label_studio_gets_a_task_per_image(tmp_path: Path) -> None:
    files = [ImageFile(tmp_path / "photos" / name) for name in ("a.jpg", "b.jpg")]
    for file in files:
        file.path.parent.mkdir(exist_ok=True)
        file.path.write_bytes(b"")
    names = ('a "dog", wet', "car")
    labelled = LabelledImages(("a.jpg", "b.jpg"), files, np.full((2, 2), -1, np.int8), names, "photos")
    write_tasks(tmp_path / "tasks.json", SUGGESTIONS, labelled, "runs/x")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [f"/data/local-files/?d=photos/{n}.jpg" for n in "ba"]
    assert tasks[0]["data"]["ask"] == 'a "dog", wet, car'
    assert tasks[0]["predictions"][0]["model_version"] == "runs/x"

    for task in tasks:  # somebody agrees with all of it
        task["annotations"] = [{"result": task["predictions"][0]["result"]}]
    (tmp_path / "done.json").write_text(json.dumps(tasks))
    rows = read_label_studio_rows(tmp_path / "done.json", tmp_path, DataOptions(unlisted="unknown"))
    order = [rows.class_names.index(name) for name in names]
    labels = dict(zip(rows.image_ids, rows.labels[:, order].tolist(), strict=True))
    assert {Path(name).name: row for name, row in labels.items()} == {"b.jpg": [1, 0], "a.jpg": [-1, 0]}
