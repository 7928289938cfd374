"""Suggestions that somebody else ranked."""

from pathlib import Path

import pytest

from promptmlr.errors import UserError
from promptmlr.web.suggestions import read_suggestions
from support import Heard
from web_support import labelled_of


@pytest.fixture
def labelled(tmp_path: Path):
    table = tmp_path / "labels.csv"
    table.write_text("image,dog,traffic_light\na.jpg,,\nb.jpg,,\n")
    return labelled_of(table)


def test_suggestions_in_their_order(tmp_path: Path, labelled) -> None:
    path, heard = tmp_path / "suggestions.csv", Heard()
    path.write_text(
        "\ufeffimage,class,probability,score\nb.jpg,traffic_light,0.25,9\n a.jpg ,dog,,8\nz.jpg,dog,0.5,7\n"
    )
    assert list(read_suggestions(path, labelled, heard).items()) == [((1, 1), 0.25), ((0, 0), None)]
    assert heard.notes == [f"1 suggestion of {path} are of cells that are not there"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("image,class\n", "no column 'probability'"),
        ("image,class,probability\na,dog,2\n", "row 2"),
        ("image,class,probability\na,dog,x\n", "row 2"),
        ("image,class,probability\na,dog,nan\n", "row 2"),
        ("image,class,probability\na,dog,0.5\n,dog,0.5\n", "row 3"),
        ("image,class,probability\na\n", "row 2"),
        ("image,class,probability\nz.jpg,dog,0.5\n", "none of its 1 suggestion is a cell"),
        ("\xff", "no column"),
        ("", "no column"),
    ],
)
def test_no_suggestions(tmp_path: Path, labelled, text: str, complaint: str) -> None:
    path = tmp_path / "suggestions.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_suggestions(path, labelled, Heard())
    with pytest.raises(UserError, match="cannot read"):
        read_suggestions(tmp_path / "none.csv", labelled, Heard())
