"""Tables as their sources ship them: read with what was said, or refused with the options that would read them."""

import datetime
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promptmlr.data import DataOptions, detect_format, load_data
from promptmlr.data.sheets import sheet_with
from promptmlr.data.table import read_table
from promptmlr.errors import UserError
from promptmlr.options.data import Unclear, between_commas, with_commas
from sheet_support import write_xlsx

Make = Callable[..., Path]


def write_image(path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Text and names of images → a table beside them."""

    def made(text: str, images: list[str], name: str = "labels.csv", encoding: str = "utf-8") -> Path:
        for image in images:
            write_image(tmp_path / image)
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    return made


def labels_of(path: Path, options: DataOptions) -> dict[str, dict[str, int]]:
    """Image → class → label, of what is known."""
    data = load_data(str(path), options=options)
    return {
        image_id: {name: int(code) for name, code in zip(data.class_names, row, strict=True) if code != -1}
        for image_id, row in zip(data.image_ids, data.labels, strict=True)
    }


def readings(path: Path, **said: str) -> list[dict[str, str]]:
    """What is proposed for a table that is unclear; each of them reads it."""
    with pytest.raises(Unclear) as caught:
        load_data(str(path), options=DataOptions(**said))
    assert "\n" not in str(caught.value)
    proposed = [dict(fields) for fields in caught.value.readings.values()]
    for fields in proposed:
        load_data(str(path), options=replace(DataOptions(**said), **fields))
    return proposed


CHEXPERT = "CheXpert-v1.0-small/train/patient0000{}/study1/view1_frontal.jpg"


def test_chexpert(make: Make) -> None:
    rows = ["Male,68,Frontal,AP,1.0,,-1.0", "Female,41,Frontal,PA,,0.0,", "Male,1,Lateral,,0.0,1.0,1.0"]
    names = [CHEXPERT.format(i) for i in range(3)]
    header = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Edema,Lung Opacity\n"
    path = make(header + "".join(f"{n},{row}\n" for n, row in zip(names, rows, strict=True)), names)
    (fields,) = readings(path)
    assert fields == {
        "ignore": "Sex,Age,Frontal/Lateral,AP/PA",
        "codes": "1.0=present,0.0=absent,-1.0=unknown,=unknown",
    }
    options = DataOptions(**fields)
    assert list(labels_of(path, options).values()) == [
        {"No Finding": 1},
        {"Edema": 0},
        {"No Finding": 0, "Edema": 1, "Lung Opacity": 1},
    ]
    data = load_data(str(path), options=options)
    assert "images are in column 'Path'; not used: Sex, Age, Frontal/Lateral, AP/PA" in data.notes
    assert data.reading == {"format": "csv", **fields}
    assert labels_of(path, DataOptions(classes="edema", codes=fields["codes"])) == {
        names[0]: {},
        names[1]: {"Edema": 0},
        names[2]: {"Edema": 1},
    }


def test_mimic_finds_images_by_their_ids(make: Make) -> None:
    text = "dicom_id,subject_id,study_id,split,Edema\n0a-0f,10000032,50414267,train,1.0\n"
    text += "1b-0f,10000764,57375967,train,-1.0\n"
    path = make(
        text + "2c-0f,10000898,50771383,train,0.0\n",
        [f"files/p10/s{i}/{n}-0f.jpg" for i, n in enumerate(("0a", "1b", "2c"))],
    )
    assert readings(path) == [
        {"ignore": "subject_id,study_id", "codes": "1.0=present,0.0=absent,-1.0=unknown"},
        {"ignore": "subject_id,study_id", "codes": "1.0=present,-1.0=absent,0.0=unknown"},
    ]


def test_roboflow(make: Make) -> None:
    path = make(
        "filename, dog, traffic_light\na_jpg.rf.1.jpg, 1, 0\nb_jpg.rf.2.jpg, 0, 1\n",
        ["a_jpg.rf.1.jpg", "b_jpg.rf.2.jpg"],
        "_classes.csv",
    )
    assert labels_of(path, DataOptions()) == {
        "a_jpg.rf.1.jpg": {"dog": 1, "traffic light": 0},
        "b_jpg.rf.2.jpg": {"dog": 0, "traffic light": 1},
    }


def test_kaggle_lists_of_numbers_and_of_words(make: Make) -> None:
    path = make("Id,Target\nff-1,16 0\nff-2,7\n", ["train/ff-1.png", "train/ff-2.png"])
    assert readings(path) == [{"unlisted": "unknown"}, {"unlisted": "absent"}]
    assert labels_of(path, DataOptions(unlisted="unknown")) == {"ff-1": {"0": 1, "16": 1}, "ff-2": {"7": 1}}
    path = make("image_name,tags\ntrain_0,haze primary\n", ["train-jpg/train_0.jpg"])
    assert {"delimiter": " ", "unlisted": "absent"} in readings(path)


def test_lightly_train(make: Make) -> None:
    path = make('image_path,label\nimages/a.jpg,"cat,dog"\nimages/b.jpg,cat\n', ["images/a.jpg", "images/b.jpg"])
    assert labels_of(path, DataOptions(unlisted="absent")) == {
        "images/a.jpg": {"cat": 1, "dog": 1},
        "images/b.jpg": {"cat": 1, "dog": 0},
    }


def test_a_label_a_row_may_hold_commas(make: Make) -> None:
    path = make('image,label\na.jpg,"dog, wet"\na.jpg,cat\n', ["a.jpg"])
    assert labels_of(path, DataOptions(unlisted="unknown")) == {"a.jpg": {"dog, wet": 1, "cat": 1}}


def test_a_single_column_of_ones_and_zeros_is_no_list_of_names(make: Make) -> None:
    path = make("image,label\na.jpg,1\nb.jpg,0\n", ["a.jpg", "b.jpg"])
    with pytest.raises(UserError, match=r"'label' holds 1 and 0 alone: --format csv .* --classes 0,1 if"):
        load_data(str(path), options=DataOptions(unlisted="absent"))
    assert labels_of(path, DataOptions(format="csv")) == {"a.jpg": {"label": 1}, "b.jpg": {"label": 0}}
    assert labels_of(path, DataOptions(classes="0,1", unlisted="unknown")) == {"a.jpg": {"1": 1}, "b.jpg": {"0": 1}}


NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Gender,View Position,\n"
    "0_0.png,Cardiomegaly|Emphysema,0,1,M,PA,\n0_1.png,No Finding,2,2,M,PA,\n0_2.png,Hernia,3,3,F,AP,\n"
)


def test_nih_chest_xray(make: Make) -> None:
    path = make(NIH, [f"images_001/images/0_{i}.png" for i in range(3)])
    column = {"label_column": "Finding Labels", "ignore": "No Finding"}
    assert readings(path) == [{**column, "unlisted": "unknown"}, {**column, "unlisted": "absent"}]
    assert labels_of(path, DataOptions(**column, unlisted="absent")) == {
        "0_0.png": {"Cardiomegaly": 1, "Emphysema": 1, "Hernia": 0},
        "0_1.png": {"Cardiomegaly": 0, "Emphysema": 0, "Hernia": 0},
        "0_2.png": {"Cardiomegaly": 0, "Emphysema": 0, "Hernia": 1},
    }
    only = DataOptions(label_column="finding labels", classes="Hernia,Edema", unlisted="absent")
    assert labels_of(path, only)["0_2.png"] == {"Hernia": 1, "Edema": 0}


def test_odir_names_images_in_several_columns(make: Make) -> None:
    text = "ID,Patient Age,Left-Fundus,Right-Fundus,N,D,filepath,filename\n"
    rows = "".join(
        f"{i},{50 + i},{i}_left.jpg,{i}_right.jpg,{i % 2},0,../x/{i}_right.jpg,{i}_right.jpg\n" for i in range(4)
    )
    path = make(text + rows, [f"images/{i}_{side}.jpg" for i in range(4) for side in ("left", "right")])
    assert [fields["image_column"] for fields in readings(path)] == ["filename", "filepath"]
    assert labels_of(path, DataOptions(image_column="left-fundus", classes="N,D"))["1_left.jpg"] == {"N": 1, "D": 0}


def test_excel_with_semicolons_and_words(make: Make) -> None:
    text = "\ufeffsep=;\r\nBild;Hund;Bemerkung\r\na.jpg;Yes;gut, scharf\r\nb.jpg;;\r\nc.jpg;No;unscharf\r\n"
    path = make(text, ["a.jpg", "b.jpg", "c.jpg"])
    assert readings(path) == [{"image_column": "Bild", "ignore": "Bemerkung"}]
    assert labels_of(path, DataOptions(image_column="bild", ignore="bemerkung")) == {
        "a.jpg": {"Hund": 1},
        "b.jpg": {},
        "c.jpg": {"Hund": 0},
    }


def test_sheets_of_ticks_and_minus_one_have_two_readings(make: Make) -> None:
    path = make("File Name,dog,cat\na.jpg,x,\nb.jpg,,X\n", ["a.jpg", "b.jpg"])
    assert readings(path) == [{"codes": "x=present,=unknown"}, {"codes": "x=present,=absent"}]
    assert labels_of(path, DataOptions(codes="x=present,=absent"))["a.jpg"] == {"dog": 1, "cat": 0}
    path = make("image_id,Bald,Young\na.jpg,-1,1\nb.jpg,1,-1\n", ["a.jpg", "b.jpg"])
    assert readings(path) == [{"codes": "1=present,-1=absent"}, {"codes": "1=present,-1=unknown"}]


def test_blanks_beside_ticks_alone_are_unknown_and_it_is_said(make: Make) -> None:
    path = make("image,dog,cat\na.jpg,1,\nb.jpg,,1\n", ["a.jpg", "b.jpg"])
    (note,) = [note for note in load_data(str(path)).notes if "--codes" in note]
    assert labels_of(path, DataOptions()) == {"a.jpg": {"dog": 1}, "b.jpg": {"cat": 1}}
    said = note.partition("--codes ")[2]
    assert labels_of(path, DataOptions(codes=said))["a.jpg"] == {"dog": 1, "cat": 0}


def test_a_blank_list_says_nothing_unless_codes_say_so(make: Make) -> None:
    path = make("image,labels\na.jpg,dog|cat\nb.jpg,\n", ["a.jpg", "b.jpg"])
    assert labels_of(path, DataOptions(unlisted="absent"))["b.jpg"] == {}
    assert labels_of(path, DataOptions(unlisted="absent", codes="=absent"))["b.jpg"] == {"dog": 0, "cat": 0}
    assert any("--codes =absent" in note for note in load_data(str(path), options=DataOptions(unlisted="absent")).notes)


def test_a_blank_that_no_code_names_is_asked_for(make: Make) -> None:
    path = make("image,dog\na.jpg,1.0\nb.jpg,\nc.jpg,0.0\n", ["a.jpg", "b.jpg", "c.jpg"])
    assert readings(path, codes="1=present,0=absent") == [
        {"codes": "1.0=present,0.0=absent,=unknown"},
        {"codes": "1.0=present,0.0=absent,=absent"},
    ]
    assert labels_of(path, DataOptions()) == {"a.jpg": {"dog": 1}, "b.jpg": {}, "c.jpg": {"dog": 0}}


def test_unicode_text_of_excel_and_tsv(make: Make) -> None:
    text = "image\tGröße, ganz\r\na.jpg\t1\r\n"
    for name, encoding in (("labels.csv", "utf-16"), ("labels.tsv", "utf-8-sig")):
        path = make(text.replace(", ganz", "") if name == "labels.csv" else text, ["a.jpg"], name, encoding)
        assert list(labels_of(path, DataOptions())["a.jpg"].values()) == [1]


def test_the_index_of_pandas_and_blank_columns_are_left_out(make: Make) -> None:
    path = make(",image,dog,\n0,a.jpg,1,\n1,b.jpg,0,\n", ["a.jpg", "b.jpg"])
    assert labels_of(path, DataOptions()) == {"a.jpg": {"dog": 1}, "b.jpg": {"dog": 0}}


@pytest.mark.parametrize(
    ("text", "said", "words"),
    [
        ("Image,image_path,dog\na.jpg,a.jpg,1\n", {}, ["more than one column", "--image-column Image", "image_path"]),
        ("Image,IMAGE,dog\na.jpg,b.jpg,1\n", {"image_column": "imagE"}, ["2 columns are called 'imagE'"]),
        ("filename,filename,dog\na.jpg,b.jpg,1\n", {}, ["2 columns are named 'filename'"]),
        ("image,dog,Dog\na.jpg,1,0\n", {"ignore": "DOG"}, ["2 columns are called 'DOG'"]),
        ("image,dog,\na.jpg,1,0\nb.jpg,1,0\n", {}, ["class 2 of 2", "empty name"]),
        ("image,dog,cat\na.jpg,1\n", {}, ["row 2: 2 cells where the header has 3"]),
        ("image,dog\na.jpg,1\n", {"image_column": "Pfad"}, ["no column 'Pfad'", "--image-column", "image"]),
        ("image,dog\na.jpg,1\n", {"ignore": "dgo"}, ["no column 'dgo'", "--ignore", "did you mean 'dog'?"]),
        ("image,dog\na.jpg,1\n", {"classes": "cat"}, ["no column 'cat'", "--classes"]),
        ("image,dog\na.jpg,1\n", {"ignore": "dog"}, ["no class"]),
        ("image,note\na.jpg,ein Hund\nb.jpg,eine Katze\n", {}, ["no labels in column", "note ('ein Hund' in row 2)"]),
        ("image,tags\na.jpg,cat\n", {"unlisted": "absent", "ignore": "dog"}, ["'dog'", "no column and in no list"]),
        ("image,dog\na.jpg,\0\n", {}, ["binary"]),
    ],
)
def test_what_cannot_be_understood_is_refused(make: Make, text: str, said: dict[str, Any], words: list[str]) -> None:
    path = make(text, ["a.jpg", "b.jpg"])
    with pytest.raises(UserError) as caught:
        load_data(str(path), options=DataOptions(**said))
    assert all(word in str(caught.value) for word in ("labels.csv", *words)), caught.value


def test_ten_broken_cells_are_shown(make: Make) -> None:
    names = [f"{i:02}.jpg" for i in range(80)]
    path = make(
        "image,dog,hot_cat\n" + "".join(f"{n},1,{'oui?' if i % 6 == 5 else 0}\n" for i, n in enumerate(names)), names
    )
    with pytest.raises(UserError) as caught:
        load_data(str(path))
    message = str(caught.value)
    assert message.count("cannot read 'oui?'") == 10
    assert "row 7, column 'hot cat'" in message
    assert "and 3 more" in message


def test_codes_that_no_cell_uses_are_said(make: Make) -> None:
    path = make("image,dog\na.jpg,x\n", ["a.jpg"])
    data = load_data(str(path), options=DataOptions(codes="x=present,0=absent,=unknown"))
    assert "cells: x=present,0=absent,=unknown; no cell says '0', blank" in data.notes


def test_another_encoding_is_refused_with_the_command_that_mends_it(make: Make) -> None:
    path = make("image,Größe\na.jpg,1\n", ["a.jpg"], encoding="latin-1")
    with pytest.raises(UserError, match=r"UTF-8.*iconv -f WINDOWS-1252 -t UTF-8 '.*labels\.csv' > 'labels-utf8\.csv'"):
        load_data(str(path))


def test_a_line_without_end_is_refused_before_it_fills_the_memory(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptmlr.data.table._LONGEST", 1000)
    with pytest.raises(UserError, match="a line of more than 1,000 characters"):
        read_table(make("image," + "1," * 600, []))


def test_classes_from_a_file_are_kept_in_the_run(make: Make, tmp_path: Path) -> None:
    path = make('image,"dog, wet",cat,age\na.jpg,1,0,37\n', ["a.jpg"])
    (tmp_path / "classes.txt").write_text("dog, wet\ncat\n")
    data = load_data(str(path), options=DataOptions(classes=str(tmp_path / "classes.txt")))
    assert (data.class_names, data.reading["classes"]) == (("dog, wet", "cat"), '"dog, wet",cat')
    again = load_data(str(path), options=DataOptions(), like=data.reading)
    assert again.class_names == data.class_names


def test_data_without_the_columns_of_the_run_are_read_all_the_same(make: Make) -> None:
    said = {"format": "csv", "image_column": "Path", "ignore": "Sex,Age", "codes": "1=present,0=absent,=unknown"}
    path = make("filename,dog,Age\na.jpg,1,37\n", ["a.jpg"])
    data = load_data(str(path), like=said)
    assert data.class_names == ("dog",)
    with pytest.raises(UserError, match="no column 'Sex'"):
        load_data(str(path), options=DataOptions(ignore="Sex,Age"))


def test_names_between_commas_may_have_commas() -> None:
    names = ["dog, wet", "cat", 'a "b"', "Frontal/Lateral"]
    assert between_commas(with_commas(names)) == names
    assert between_commas("Sex, Age ,") == ["Sex", "Age"]


def test_options_are_parted_from_values_that_look_like_options() -> None:
    said = DataOptions(codes="-1=absent,1=present", ignore="--images,Age")
    assert said.words() == ["--ignore=--images,Age", "--codes=-1=absent,1=present"]


def test_a_class_may_be_called_like_an_option(make: Make) -> None:
    path = make("image,--ignore,--codes\na.jpg,1,text\nb.jpg,0,more text\n", ["a.jpg", "b.jpg"])
    assert readings(path) == [{"ignore": "--codes"}]
    with pytest.raises(Unclear) as caught:
        load_data(str(path))
    assert caught.value.commands(["promptmlr", "train", "x"]) == ["promptmlr train x --ignore=--codes"]


def test_a_command_is_not_told_twice() -> None:
    unclear = Unclear("x.csv: unclear", {"a": {"codes": "1=present,=absent"}, "b": {"codes": "1=present,=unknown"}})
    start = ["promptmlr", "train", "x.csv", "--codes", "1=present", "--codes=1=absent", "--ignore", "Sex"]
    assert unclear.commands(start)[0] == "promptmlr train x.csv --ignore Sex --codes 1=present,=absent  # if a"


# XLSX


def test_a_sheet_is_read_as_it_is_seen(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine", reason="XLSX is an extra")
    for name in "abc":
        write_image(tmp_path / f"{name}.jpg")
    rows = [
        ["Image", "Dog", "Cat", "Ok"],
        ["a.jpg", 1, None, True],
        [None] * 4,
        ["b.jpg", 0, "Yes", False],
        ["c.jpg", "", "no", None],
    ]
    path = write_xlsx(
        tmp_path / "labels.xlsx", {"Labels": rows, "old": [["image", "dog"], ["a.jpg", 0]]}, hidden=("old",)
    )
    assert detect_format(str(path)) == "csv"
    assert labels_of(path, DataOptions()) == {
        "a.jpg": {"Dog": 1, "Ok": 1},
        "b.jpg": {"Dog": 0, "Cat": 1, "Ok": 0},
        "c.jpg": {"Cat": 0},
    }
    assert labels_of(path, DataOptions(sheet="old")) == {"a.jpg": {"dog": 0}}
    with pytest.raises(UserError, match="no sheet 'Lables'; did you mean 'Labels'"):
        load_data(str(path), options=DataOptions(sheet="Lables"))


def test_several_sheets_dates_and_numbers_are_asked_about(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine", reason="XLSX is an extra")
    write_image(tmp_path / "a.jpg")
    days = [["image", "dog", "when"], *([f"{n}.jpg", 1, datetime.date(2024, 5, i + 1)] for i, n in enumerate("a"))]
    path = write_xlsx(tmp_path / "labels.xlsx", {"1": days, "2": [["remarks"], ["none"]]})
    assert readings(path) == [{"sheet": "1", "ignore": "when"}]


@pytest.mark.parametrize(
    ("cells", "merged", "words"),
    [
        ([["a.jpg", "=B9"]], (), ["formulas", "B2"]),
        ([["a.jpg", "#DIV/0!"]], (), ["error", "B2"]),
        ([["a.jpg", 1], ["b.jpg", None]], ("B2:B3",), ["merged", "B2:B3"]),
    ],
)
def test_cells_that_only_look_blank_are_refused(tmp_path: Path, cells: list, merged: tuple, words: list[str]) -> None:
    pytest.importorskip("python_calamine", reason="XLSX is an extra")
    path = write_xlsx(tmp_path / "labels.xlsx", {"Labels": [["image", "dog"], *cells]}, merged=merged)
    with pytest.raises(UserError) as caught:
        load_data(str(path))
    assert all(word in str(caught.value) for word in ("labels.xlsx", "'Labels'", *words)), caught.value


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"image,dog\na.jpg,1\n"])
def test_what_is_no_xlsx_is_refused(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("python_calamine", reason="XLSX is an extra")
    (tmp_path / "labels.xlsx").write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read .*labels\.xlsx"):
        load_data(str(tmp_path / "labels.xlsx"))


def test_a_merged_title_above_a_sheet_is_no_matter(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine", reason="XLSX is an extra")
    write_image(tmp_path / "a.jpg")
    rows = [["Zoo 2024", None, None], ["image", "dog", "cat"], ["a.jpg", 1, 0]]
    path = write_xlsx(tmp_path / "labels.xlsx", {"Labels": rows}, merged=("A1:C1",))
    assert labels_of(path, DataOptions()) == {"a.jpg": {"dog": 1, "cat": 0}}


@pytest.mark.parametrize(("span", "words"), [("", None), (' table:number-columns-spanned="2"', "cells are merged")])
def test_sheets_of_libreoffice(tmp_path: Path, span: str, words: str | None) -> None:
    pytest.importorskip("python_calamine", reason="XLSX is an extra")
    write_image(tmp_path / "a.jpg")
    path = write_ods(tmp_path / "labels.ods", [["image", "dog", "cat"], ["a.jpg", "1", "0"]], span)
    if words is not None:
        with pytest.raises(UserError, match=words):
            load_data(str(path))
        return
    assert labels_of(path, DataOptions()) == {"a.jpg": {"dog": 1, "cat": 0}}


def write_ods(path: Path, rows: list[list[str]], span: str) -> Path:
    names = {
        f"xmlns:{name}": f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0" for name in ("office", "table", "text")
    }
    cell = '<table:table-cell office:value-type="string"{}><text:p>{}</text:p></table:table-cell>'
    covered = "<table:covered-table-cell/>" if span else ""
    body = "".join(
        "<table:table-row>" + "".join(cell.format("", text) for text in row) + "</table:table-row>" for row in rows[:-1]
    )
    body += "<table:table-row>" + "".join(cell.format(span, text) for text in rows[-1]) + covered + "</table:table-row>"
    spaces = " ".join(f'{key}="{value}"' for key, value in names.items())
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {spaces} office:version="1.2"><office:body>'
        f'<office:spreadsheet><table:table table:name="Labels">{body}</table:table></office:spreadsheet></office:body>'
        "</office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = (
        '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/></manifest:manifest>'
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (("mimetype", kind), ("META-INF/manifest.xml", manifest), ("content.xml", content)):
            archive.writestr(name, text)
    return path


# Parquet


def test_parquet_without_images_is_a_table(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / f"{name}.jpg")
    columns = {"Path": ["a.jpg", "b.jpg"], "dog": [1.0, None], "cat": [True, False], "age": [37, 41]}
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table(columns), path)
    assert detect_format(str(path)) == "csv"
    assert readings(path) == [{"ignore": "age"}]
    assert labels_of(path, DataOptions(ignore="age")) == {"a.jpg": {"dog": 1, "cat": 1}, "b.jpg": {"cat": 0}}


def test_nested_columns_are_no_labels(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"image": ["a.jpg"], "dog": [1], "box": [{"x": [1, 2]}]}), path)
    assert readings(path, format="csv") == [{"ignore": "box"}]


@pytest.mark.parametrize("cells", ["['cat', 'hot dog'];[];['cat']", '["cat", "hot dog"];[];["cat"]'])
def test_lists_as_json_or_python_writes_them(make_csv, cells: str) -> None:
    quoted = [cell.replace('"', '""') for cell in cells.split(";")]
    rows = "".join(f'{name}.png,"{cell}"\n' for name, cell in zip("abc", quoted, strict=True))
    data = load_data(str(make_csv("image,tags\n" + rows)), options=DataOptions(unlisted="absent"))
    assert data.class_names == ("cat", "hot dog")
    assert data.labels.tolist() == [[1, 1], [0, 0], [1, 0]]


def test_a_list_as_numpy_writes_it_is_refused(make_csv, refused) -> None:
    path = make_csv("image,tags\na.png,['cat' 'hot dog']\n")
    refused(["row 2", "cannot read the list"], load_data, str(path), options=DataOptions(unlisted="absent"))


def test_a_column_that_is_mostly_labels_is_a_class_with_broken_cells(make_csv, refused) -> None:
    rows = "".join(f"{number}.png,{('yes', 'no', 'maybe')[number % 3]},yes\n" for number in range(9))
    message = refused(["'maybe'", "row 4"], load_data, str(make_csv("image,dog,cat\n" + rows)))
    assert "--ignore" not in message


def test_a_row_of_totals_is_no_image(make_csv, refused) -> None:
    refused(["row 3", "totals"], load_data, str(make_csv("image,dog\na.png,1\nTotal,1\n")))


def test_files_win_over_a_column_that_is_called_like_one_of_images(make_csv) -> None:
    path = make_csv("ID,Left-Fundus,dog\n0,a.png,1\n1,b.png,0\n")
    with pytest.raises(Unclear) as unclear:
        load_data(str(path))
    assert [fields["image_column"] for fields in unclear.value.readings.values()] == ["Left-Fundus"]


def test_other_columns_do_not_change_how_lists_are_read_like_those_of_a_run(make_csv) -> None:
    path = make_csv("file;tags;x\na.png;dog cat;9\n")
    like = {"format": "list-csv", "unlisted": "absent", "delimiter": " ", "label_column": "tags"}
    like["image_column"] = "file"
    assert load_data(str(path), like=like).class_names == ("cat", "dog")


GROUPED = [
    ["Auswertung 2024", None, None, None],
    [None, None, "Tiere", None],
    ["Nr.", "Bild", "dog", "cat"],
    [101, "a", "yes", "no"],
    [102, "b", "no", "yes"],
    ["Summe", None, 1, 1],
]


def test_names_below_merged_groups_are_found_in_any_language(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine", reason="XLSX is an extra")
    for name in ("a.jpg", "b.jpg"):
        write_image(tmp_path / name)
    path = write_xlsx(tmp_path / "labels.xlsx", {"Labels": GROUPED}, merged=("A1:D1", "C2:D2"))
    with pytest.raises(Unclear) as caught:
        load_data(str(path))
    (fields,) = caught.value.readings.values()
    assert fields == {"image_column": "Bild", "without_totals": True, "ignore": "Nr."}
    assert labels_of(path, DataOptions(**fields)) == {"a": {"dog": 1, "cat": 0}, "b": {"dog": 0, "cat": 1}}


def test_an_image_column_of_any_name_shows_where_the_names_are(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "labels.csv").write_text("Zoo,Anna,2024\n\nWas,dog,cat\na,1,0\n")
    assert labels_of(tmp_path / "labels.csv", DataOptions(image_column="Was")) == {"a": {"dog": 1, "cat": 0}}


def test_a_cell_far_from_the_table_is_refused_before_it_takes_all_memory(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine", reason="XLSX is an extra")
    path = write_xlsx(tmp_path / "labels.xlsx", {"Labels": [["image", "dog"], ["a.jpg", 1]]})
    far = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    rewrite_sheet(path, "</sheetData>", far)
    with pytest.raises(UserError, match=r"'Labels': its cells reach to XFD1048576; delete"):
        load_data(str(path))


def test_a_text_in_two_encodings_is_refused_with_both_rows(tmp_path: Path) -> None:
    content = "image,dog\nü.jpg,1\n".encode() + "é.jpg,0\n".encode("latin-1")
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(UserError, match="row 2 is in UTF-8 and row 3 is in another encoding"):
        load_data(str(tmp_path / "labels.csv"))


def test_a_key_of_json_that_comes_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"a.jpg": ["dog"], "a.jpg": ["cat"]}')
    with pytest.raises(UserError, match=r"labels\.json: damaged JSON \(an object with two keys 'a\.jpg'\)"):
        load_data(str(tmp_path / "labels.json"))


def test_a_cell_that_is_new_in_a_styled_row_has_the_style_of_the_row(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine", reason="XLSX is an extra")
    path = write_xlsx(tmp_path / "labels.xlsx", {"Labels": [["image", "dog", "cat"], ["a.jpg", 1]]})
    rewrite_sheet(path, '<row r="2">', '<row r="2" s="1" customFormat="1">')
    (tmp_path / "new.xlsx").write_bytes(sheet_with(path, DataOptions(), {(2, 2): "0", (2, 3): "1"}))
    assert '<c r="C2" s="1"><v>1</v></c>' in sheet_of(tmp_path / "new.xlsx")
    assert '<c r="B2"><v>0</v></c>' in sheet_of(tmp_path / "new.xlsx")  # which had no style, and was there


SHEET = "xl/worksheets/sheet1.xml"


def sheet_of(path: Path) -> str:
    with zipfile.ZipFile(path) as book:
        return book.read(SHEET).decode()


def rewrite_sheet(path: Path, old: str, new: str) -> None:
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    assert old.encode() in parts[SHEET]
    with zipfile.ZipFile(path, "w") as book:
        for name, content in parts.items():
            book.writestr(name, content.replace(old.encode(), new.encode()) if name == SHEET else content)
