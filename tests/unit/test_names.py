"""Names that a person gives: texts and paths, in one line refused or made fit to be read and written."""

import os
from pathlib import Path

import numpy as np
import pytest

from promptmlr.errors import UserError
from promptmlr.names import checked_class_names, checked_path, shown


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no class; at least one"),
        (np.array([]), "no class; at least one"),
        ("dog", "must be a list of class names, not 'dog'"),
        (None, "must be a list of class names, not None"),
        (3, "must be a list of class names, not 3"),
        (["dog", 3], "class 2 of 2 is 3; a class name must be a text"),
        (["dog", None], "class 2 of 2 is None"),
        (["dog", ""], "class 2 of 2 has an empty name"),
        (["_ ", "dog"], "class 1 of 2 has an empty name"),
        (["dog", "hot\ndog"], r"class 2 of 2 has the name 'hot\ndog'"),
        (["dog", "d\x1bog"], r"class 2 of 2 has the name 'd\x1bog'"),
        (["dog", "d\ud800og"], r"class 2 of 2 has the name 'd\ud800og'"),
        (["dog", "cat", "dog"], "duplicate class name 'dog'"),
        (["hot dog", "hot_dog"], "duplicate class name 'hot dog' ('hot dog' and 'hot_dog'; underscores"),
    ],
)
def test_class_names_that_cannot_be_used(names, message: str) -> None:
    with pytest.raises(UserError) as error:
        checked_class_names(names, "here")
    assert str(error.value).startswith("here")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    str(error.value).encode()


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_class_names_are_plain_texts_with_spaces(kind) -> None:
    names = checked_class_names(kind(["hot_dog", " cat ", "سگ‌آبی", "🦊"]))
    assert names == ("hot dog", "cat", "سگ‌آبی", "🦊")
    assert {type(name) for name in names} == {str}


def test_paths_are_as_given_whether_or_not_they_exist(tmp_path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "Größe", Path("scenes")):
        assert checked_path(str(path)) == checked_path(path) == path
        assert shown(path) == str(path)


@pytest.mark.parametrize(("name", "message"), [(b"bad\xff.csv", r"bad\udcff.csv: this name is not UTF-8"),
                                               (b"x" * 300, "File name too long")])  # fmt: skip
def test_paths_that_nobody_can_look_for_or_write_down(tmp_path, name: bytes, message: str) -> None:
    with pytest.raises(UserError) as error:
        checked_path(tmp_path / os.fsdecode(name))
    assert message in str(error.value)
    str(error.value).encode()
