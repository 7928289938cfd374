"""Tables in whatever surrounds them say the same as without."""

from collections.abc import Sequence
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from promptmlr.data import DataOptions, load_data
from promptmlr.data.cells import LabelCells
from promptmlr.errors import UserError

NUMBERS = iter(range(10**9))
CODES = st.sampled_from(["1", "0", ""])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def written(folder: Path, rows: Sequence[Sequence[str]], mark: str = ",", before: str = "", end: str = "") -> Path:
    path = folder / f"{next(NUMBERS)}.csv"
    path.write_text(before + "".join(mark.join(row) + end + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, **said: str) -> dict[str, list[int]]:
    data = load_data(str(path), options=DataOptions(skip_unreadable=True, **said))
    return dict(zip(data.image_ids, data.labels.tolist(), strict=True))


@st.composite
def bodies(draw: st.DrawFn) -> list[list[str]]:
    classes, images = draw(st.integers(2, 4)), draw(st.integers(2, 5))
    return [[f"{row}.jpg", *(draw(CODES) for _ in range(classes))] for row in range(images)]


def header(body: list[list[str]]) -> list[str]:
    return ["image", *(f"class-{column}" for column in range(1, len(body[0])))]


def codes(body: list[list[str]]) -> dict[str, list[int]]:
    return {name: [{"1": 1, "0": 0, "": -1}[cell] for cell in cells] for name, *cells in body}


TITLES = st.lists(
    st.sampled_from(["Zoo", "Labels, version 2", "# exported by Anna, 2024", "# v3", "", "Zoo; 2024", '"a, b"']),
    max_size=3,
)


@given(bodies(), TITLES, st.sampled_from([",", ";", "\t", "|"]), st.booleans())
def test_titles_comments_and_delimiters_change_no_label(folder: Path, body, titles, mark, ragged) -> None:
    before = "".join(f"{line}\n" for line in titles)
    path = written(folder, [header(body), *body], mark, before, mark if ragged else "")
    assert read(path) == codes(body)
    cells = LabelCells.parse(path, path.read_bytes())
    assert cells.content == path.read_bytes()
    assert {name: [cells.code(name, one) for one in header(body)[1:]] for name in codes(body)} == codes(body)
    changed = cells.with_label("0.jpg", "class-1", 1)
    path.write_bytes(changed.content)
    assert read(path) == {**codes(body), "0.jpg": [1, *codes(body)["0.jpg"][1:]]}


@given(bodies())
def test_a_header_may_be_said(folder: Path, body) -> None:
    path = written(folder, body)
    assert read(path, header=",".join(header(body))) == codes(body)
    named = written(folder, [header(body), *body])
    like = {"format": "csv", "header": ",".join(header(body))}
    data = load_data(
        str(named), options=DataOptions(skip_unreadable=True), like=like
    )  # a run's, for a table with names
    assert data.labels.tolist() == list(codes(body).values())


@given(st.lists(st.tuples(st.integers(0, 2), CODES), min_size=4, max_size=12))
def test_rows_of_an_image_are_taken_together(folder: Path, answers) -> None:
    path = written(folder, [["image", "dog"], *([f"{i}.jpg", cell] for i, cell in answers)])
    for several in ("agree", "majority"):
        wanted = {}
        for image in {image for image, _ in answers}:
            votes = [1 if cell == "1" else -1 for one, cell in answers if one == image and cell]
            total = sum(votes) if several == "majority" or abs(sum(votes)) == len(votes) else 0
            wanted[f"{image}.jpg"] = [-1 if total == 0 else int(total > 0)]
        assert read(path, several=several) == wanted


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["{}.jpg,1"] * 12, ["row 2: 2 cells", "row 11: 2 cells", "and more"]),
        ([",1,0"] * 12, ["row 2: no image name", "row 11: no image name", "and 2 more"]),
        (["a.jpg,1,0"] * 13, ["row 3: image 'a.jpg' is there already", "row 12: ", "and 2 more"]),
    ],
)
def test_ten_faults_are_told_at_once(tmp_path: Path, rows: list[str], words: list[str]) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,dog,cat\n" + "".join(row.format(n) + "\n" for n, row in enumerate(rows)) + "z.jpg,1,0\n" * 1)
    with pytest.raises(UserError) as caught:
        load_data(str(path))
    assert all(word in str(caught.value) for word in words), caught.value
    assert "row 13" not in str(caught.value)


def test_an_answer_keeps_the_encoding_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("image;Kätzchen;Größe\na.jpg;1;0\nb.jpg;;1\n".encode("cp1252"))
    options = DataOptions(encoding="windows-1252", skip_unreadable=True)
    path.write_bytes(LabelCells.parse(path, path.read_bytes(), options).with_label("b.jpg", "Kätzchen", 0).content)
    assert path.read_bytes() == "image;Kätzchen;Größe\na.jpg;1;0\nb.jpg;0;1\n".encode("cp1252")
    assert np.array_equal(load_data(str(path), options=options).labels, [[1, 0], [0, 1]])
