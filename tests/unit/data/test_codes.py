"""What cells say, and how a table writes it."""

import pytest

from promptmlr.data.codes import MEANINGS, Codes
from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN


@pytest.mark.parametrize(
    ("said", "cells"),
    [
        ("1.0=present,0.0=absent,-1.0=unknown,=unknown", {"1": 1, "1.0": 1, "0.00": 0, "-1": -1, "": -1, "NaN": -1}),
        ("x=present, =absent", {"X": 1, " x ": 1, "": 0, "1": None}),
        ("1,0=present,0,0=absent", {"1,0": 1, "1.0": 1, "0": 0, "": None}),
        ("a=b=present,,=absent", {"a=b": 1, ",": 0}),
        ("yes = present, no = absent, not sure = unknown", {"Yes": 1, "NO": 0, "not sure": -1}),
        ("1=present,1.0=present", {"1": 1}),
        (None, {"1": 1, "TRUE": 1, "y": 1, "No": 0, "0.0": 0, "": -1, "nan": -1, "-1": None, "x": None}),
    ],
)
def test_codes_say_what_cells_mean(said: str | None, cells: dict[str, int | None]) -> None:
    codes = Codes.of(said)
    assert {cell: codes.label(cell) for cell in cells} == cells


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("1=present,1=absent", ["'1' would say two things"]),
        ("1=present,1.0=absent", ["'1.0' would say two things"]),
        ("X=present,x=unknown", ["'x' would say two things"]),
        ("1=presnt", ["cannot read '1=presnt'", "CELL=present", "such as --codes 1=present"]),
        ("1=present,0", ["cannot read '0'"]),
        ("present", ["cannot read 'present'"]),
        ("1=present;0=absent", ["cannot read"]),
    ],
)
def test_codes_that_are_none_or_contradict_each_other_are_refused(said: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        Codes.of(said)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("said", "cells", "written"),
    [
        (None, [], ("1", "0")),
        (None, ["1", "", "0"], ("1", "0")),
        (None, ["1.0", ""], ("1.0", "0.0")),
        (None, ["", "No"], ("Yes", "No")),
        (None, ["TRUE"], ("TRUE", "FALSE")),
        (None, ["n"], ("y", "n")),
        ("1=present,0=absent,=unknown", ["1.0", ""], ("1.0", "0")),
        ("x=present,-=absent,=unknown", ["X", ""], ("X", "-")),
    ],
)
def test_a_table_is_written_as_its_other_cells_are(
    said: str | None, cells: list[str], written: tuple[str, str]
) -> None:
    codes = Codes.of(said)
    assert (codes.spelled(PRESENT, cells), codes.spelled(ABSENT, cells)) == written
    assert (codes.label(written[0]), codes.label(written[1])) == (PRESENT, ABSENT)


def test_an_answer_that_no_code_says_is_refused() -> None:
    codes = Codes.of("x=present,=unknown")
    assert codes.label("") == UNKNOWN
    with pytest.raises(UserError, match="no code says absent; add one to --codes"):
        codes.spelled(ABSENT, ["x", ""])


@pytest.mark.parametrize(
    ("said", "meaning", "free"),
    [("1=present,0=absent", "unknown", ""), ("x=present", "absent", "0"), ("1=absent,=unknown", "present", "x")],
)
def test_the_code_that_is_proposed_is_free(said: str, meaning: str, free: str) -> None:
    codes = Codes.of(said)
    with pytest.raises(UserError, match=f"such as {free}={meaning}$"):
        codes.spelled(MEANINGS[meaning], [])
    assert Codes.of(f"{said},{free}={meaning}").spelled(MEANINGS[meaning], []) == free
