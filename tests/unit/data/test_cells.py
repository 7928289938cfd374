"""One cell changed, everything else byte for byte: whatever the file's habits."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptmlr.data import DataOptions
from promptmlr.data.cells import LabelCells
from promptmlr.errors import UserError

PATH = Path("labels.csv")
PLAIN = b"image,split,dog,traffic_light\na.jpg,train,,0\nb.jpg,test,1,\n"


def changed(content: bytes, image: str = "a.jpg", name: str = "dog", text: str = "1") -> bytes:
    return LabelCells.parse(PATH, content).with_cell(image, name, text).content


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PLAIN, PLAIN.replace(b"train,,0", b"train,1,0")),
        (b"\xef\xbb\xbf" + PLAIN, b"\xef\xbb\xbf" + PLAIN.replace(b"train,,0", b"train,1,0")),
        (PLAIN.replace(b"\n", b"\r\n"), PLAIN.replace(b"train,,0", b"train,1,0").replace(b"\n", b"\r\n")),
        (PLAIN.replace(b"\n", b"\r"), PLAIN.replace(b"train,,0", b"train,1,0").replace(b"\n", b"\r")),
        (b"image,dog\na.jpg,", b"image,dog\na.jpg,1"),
        (b'"image","dog"\r\n"a.jpg",""\r\n', b'"image","dog"\r\n"a.jpg","1"\r\n'),
        (b"dog,image,note\n  ,a.jpg , keep  \n", b"dog,image,note\n1,a.jpg , keep  \n"),
        (b'image,note,dog\na.jpg,"x, ""y""\nz",nan\n', b'image,note,dog\na.jpg,"x, ""y""\nz",1\n'),
        (b'image,note,dog\na.jpg,5" disk,\n', None),
        (b"\n\nimage,dog\n\na.jpg,\n\n", b"\n\nimage,dog\n\na.jpg,1\n\n"),
        (b"image;note;dog\na.jpg;x, y;\n", b"image;note;dog\na.jpg;x, y;1\n"),
        (b'image\tnote\tdog\na.jpg\t"x\ty"\t""\n', b'image\tnote\tdog\na.jpg\t"x\ty"\t"1"\n'),
        ("image,dog,größe\na.jpg,,ä\n".encode(), "image,dog,größe\na.jpg,1,ä\n".encode()),
    ],
)
def test_one_cell_changes(before: bytes, after: bytes | None) -> None:
    if after is None:
        with pytest.raises(UserError, match="quotes"):
            changed(before)
    else:
        assert changed(before) == after


def test_a_cell_gets_its_bytes_back() -> None:
    for blank in (b"", b'""', b"  ", b"NaN"):
        content = b"image,dog\na.jpg," + blank + b"\nb.jpg,1\n"
        cells = LabelCells.parse(PATH, content)
        filled = cells.with_cell("a.jpg", "dog", "0")
        assert filled.code("a.jpg", "dog") == 0
        assert filled.with_raw("a.jpg", "dog", cells.raw("a.jpg", "dog")).content == content


def test_what_cells_say() -> None:
    cells = LabelCells.parse(PATH, PLAIN + b"c.jpg,train,maybe,Y\n")
    assert [cells.code(image, "dog") for image in ("a.jpg", "b.jpg", "c.jpg")] == [-1, 1, None]
    assert [cells.code(image, "traffic light") for image in ("a.jpg", "b.jpg", "c.jpg")] == [0, -1, 1]
    assert cells.cell("c.jpg", "dog") == "maybe"
    assert cells.row("b.jpg") == 3


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a CSV file"),
        (b"name,dog\na,1\n", "no column of images"),
        (b"image,image,dog\na,a,1\n", "2 columns"),
        (b"image,dog\na,1,1\n", "row 2: 3 cells where the header has 2"),
        (b"image,dog\na,1\n a ,0\n", "row 3: image ' a ' is in row 2 already"),
        (b'image,dog\na,"1\n', "quotes"),
        (b'image,dog\na,"1"x\n', "row 2"),
        (b"image,dog\na,\xff\n", "UTF-8"),
        (b"image,dog,dog\na,1,1\n", "duplicate class name"),
    ],
)
def test_a_malformed_table_is_refused_in_one_line(content: bytes, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        LabelCells.parse(PATH, content)
    assert "\n" not in str(error.value)


def test_cells_that_are_not_there() -> None:
    cells = LabelCells.parse(PATH, PLAIN)
    with pytest.raises(UserError, match="no row of image 'z'"):
        cells.cell("z", "dog")
    with pytest.raises(UserError, match="no column of class 'cat'"):
        cells.with_cell("a.jpg", "cat", "1")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)


@given(
    st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
    st.data(),
)
def test_any_file_of_the_csv_module(notes, end: str, quoting: int, mark: bool, data: st.DataObject) -> None:
    rows = [["note", "image", "dog", "more"], *([note, f"{i}.jpg", "", more] for i, (note, more) in enumerate(notes))]
    if any(set(text) & set("\r\n") for pair in notes for text in pair):
        quoting = csv.QUOTE_ALL  # the module's writer leaves some line ends bare, and cannot read them back
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=quoting).writerows(rows)
    content = text.getvalue().encode("utf-8-sig" if mark else "utf-8")
    chosen = data.draw(st.integers(0, len(notes) - 1))
    found = changed(content, f"{chosen}.jpg")
    rows[chosen + 1][2] = "1"
    assert list(csv.reader(io.StringIO(found.decode("utf-8-sig"), newline=""))) == rows
    assert len(found) - len(content) == 1
    cells = LabelCells.parse(PATH, found)
    assert cells.with_raw(f"{chosen}.jpg", "dog", b'""' if quoting == csv.QUOTE_ALL else b"").content == content


CHEXPERT = b'Path,Sex,Age,"Edema, acute",Pneumonia\r\na.jpg,Male,68,1.0,\r\nb.jpg,Female,41,-1.0,0.0\r\n'
CODES = DataOptions(ignore="Sex,Age", codes="1.0=present,0.0=absent,-1.0=unknown,=unknown")


def test_a_cell_is_written_in_the_codes_of_the_run() -> None:
    cells = LabelCells.parse(PATH, CHEXPERT, CODES)
    assert list(cells.columns) == ["Edema, acute", "Pneumonia"]
    assert [cells.code(image, name) for image in ("a.jpg", "b.jpg") for name in cells.columns] == [1, -1, -1, 0]
    after = cells.with_label("a.jpg", "Pneumonia", 1).with_label("b.jpg", "Edema, acute", 0)
    assert after.content == CHEXPERT.replace(b"1.0,\r", b"1.0,1.0\r").replace(b"-1.0,0.0", b"0.0,0.0")
    assert after.code("a.jpg", "Pneumonia") == 1


@pytest.mark.parametrize(
    ("content", "codes", "after"),
    [
        (b"image,dog\na.jpg,\nb.jpg,Yes\n", None, (b"a.jpg,Yes\n", b"a.jpg,No\n")),
        (b"image;dog\na.jpg;\nb.jpg;X\n", "x=present,-=absent,=unknown", (b"a.jpg;X\n", b"a.jpg;-\n")),
        (b"image,dog\na.jpg,\n", "1,0=present,0,0=absent,=unknown", (b'a.jpg,"1,0"\n', b'a.jpg,"0,0"\n')),
        (b"image,dog\na.jpg,\n", 'a"b=present,0=absent,=unknown', (b'a.jpg,"a""b"\n', b"a.jpg,0\n")),
    ],
)
def test_a_cell_is_written_as_its_table_writes(content: bytes, codes: str | None, after: tuple[bytes, bytes]) -> None:
    cells = LabelCells.parse(PATH, content, DataOptions(codes=codes))
    for label, line in ((1, after[0]), (0, after[1])):
        changed = cells.with_label("a.jpg", "dog", label)
        assert line in changed.content
        assert LabelCells.parse(PATH, changed.content, DataOptions(codes=codes)).code("a.jpg", "dog") == label


def test_an_answer_that_the_codes_cannot_say_is_refused() -> None:
    cells = LabelCells.parse(PATH, b"image,dog\na.jpg,\nb.jpg,x\n", DataOptions(codes="x=present,=unknown"))
    with pytest.raises(UserError, match="no code says absent"):
        cells.with_label("a.jpg", "dog", 0)
