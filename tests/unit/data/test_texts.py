"""A CSV of synonyms and descriptions."""

from pathlib import Path

import pytest

from promptmlr.data.texts import texts_of
from promptmlr.errors import UserError

NAMES = ("dog", "traffic light")


def test_texts_of_classes_in_order(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text(
        '\ufeffclass,text\ndog,a hound\ntraffic_light,"red, amber, green"\ndog,an animal\n\n', encoding="utf-8"
    )
    assert texts_of(str(path), NAMES) == {
        "dog": ("a hound", "an animal"),
        "traffic light": ("red, amber, green",),
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name,text\ndog,a\n", "needs the columns class and text, and has name, text"),
        ("", "needs the columns class and text, and has none"),
        ("class,text\n", "no text; write lines"),
        ("class,text\ndog,hound\ndgo,hound\n", "line 3: unknown class 'dgo'; .*dog"),
        ("class,text\ndog, \n", "line 2: no text"),
        ("class,text\ndog\n", "line 2: no text"),
        ("class,text\ndog,a, b\n", "line 2: more cells than columns; put what has commas in quotes"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "texts.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=said):
        texts_of(str(path), NAMES)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*none\.csv: No such file"):
        texts_of(str(tmp_path / "none.csv"), NAMES)
    (tmp_path / "bad.csv").write_bytes(b"class,text\ndog,\xff\n")
    with pytest.raises(UserError, match=r"cannot read .*bad\.csv"):
        texts_of(str(tmp_path / "bad.csv"), NAMES)
