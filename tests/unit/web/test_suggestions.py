"""Where the queue's cells come from."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from promptmlr.errors import UserError
from promptmlr.scenes import draw_scene
from promptmlr.web.suggestions import Cell, ranked_by, read_suggestions, training_rows


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = ["image,split,tree,cat,unicorn"]
    for number, cells in enumerate([("", "1", ""), ("0", "", ""), ("1", "0", ""), ("", "", "")]):
        Image.fromarray(draw_scene(7, number).image).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'test' if number == 3 else 'train'},{','.join(cells)}")
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_suggestions_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "suggestions.csv"
    path.write_text("\ufeffimage,class,probability,score\nb.jpg,traffic_light,0.25,9\n a.jpg ,dog,,8\n")
    assert read_suggestions(path) == [Cell("b.jpg", "traffic light", 0.25), Cell("a.jpg", "dog", None)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("image,class\n", "no column 'probability'"),
        ("image,class,probability\na,dog,2\n", "row 2"),
        ("image,class,probability\na,dog,x\n", "row 2"),
        ("image,class,probability\na,dog,nan\n", "row 2"),
        ("image,class,probability\na,dog,0.5\n,dog,0.5\n", "row 3"),
        ("image,class,probability\na\n", "row 2"),
        ("\xff", "no column"),
        ("", "no column"),
    ],
)
def test_a_file_without_suggestions_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "suggestions.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_suggestions(path)
    with pytest.raises(UserError, match="cannot read"):
        read_suggestions(tmp_path / "none.csv")


def test_the_run_ranks_training_rows(loaded, table: Path) -> None:
    run = loaded[0]
    found = ranked_by(run, training_rows(table), workers=0)
    assert {(one.image_id, one.class_name) for one in found} == {("0.png", "tree"), ("1.png", "cat")}
    probabilities = run.predict([table.parent / "0.png", table.parent / "1.png"])
    expected = [probabilities[0, run.class_names.index("tree")], probabilities[1, run.class_names.index("cat")]]
    by_image = {one.image_id: one.probability for one in found}
    assert np.allclose([by_image["0.png"], by_image["1.png"]], expected, atol=1e-5)
    assert ranked_by(run, training_rows(table), workers=0, most=1) == found[:1]


def test_unreadable_images_are_not_asked_about(loaded, table: Path) -> None:
    (table.parent / "0.png").write_bytes(b"no image")
    found = ranked_by(loaded[0], training_rows(table), workers=0)
    assert [one.image_id for one in found] == ["1.png"]


def test_rows_of_other_splits_are_not_asked_about(table: Path) -> None:
    assert training_rows(table).image_ids == ("0.png", "1.png", "2.png")
    table.write_text("image,split,tree\n0.png,test,\n")
    with pytest.raises(UserError, match="split 'train'"):
        training_rows(table)
