"""Tables of other shapes than a row per image and a column per class: what is proposed for them reads them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from promptmlr.data import DataOptions, detect_format, load_data, load_parts
from promptmlr.data.cells import LabelCells
from promptmlr.data.formats.csv import amend_table
from promptmlr.errors import UserError
from promptmlr.options.data import Unclear
from sheet_support import write_xlsx
from support import write_image

Labels = dict[str, dict[str, int]]


def placed(path: Path, content: str | bytes, images: str = "abcd") -> Path:
    """A file beside the images a.jpg, b.jpg, …"""
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in images:
        write_image(path.parent / f"{name}.jpg")
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def labels_of(path: Path, **said: str | bool) -> Labels:
    """Image → class → label, of what is known."""
    data = load_data(str(path), options=DataOptions(**said))  # type: ignore[arg-type]
    return {
        image_id: {name: int(code) for name, code in zip(data.class_names, row, strict=True) if code != -1}
        for image_id, row in zip(data.image_ids, data.labels, strict=True)
    }


def proposed(path: Path) -> list[Labels]:
    """What the readings that are proposed make of a table."""
    with pytest.raises(Unclear) as caught:
        load_data(str(path))
    assert "\n" not in str(caught.value)
    fields = [dict(one) for one in caught.value.readings.values()]
    return [labels_of(path, **one) for one in fields]


def fields_of(path: Path) -> list[dict[str, object]]:
    with pytest.raises(Unclear) as caught:
        load_data(str(path))
    return [dict(one) for one in caught.value.readings.values()]


def notes_of(path: Path) -> str:
    return "; ".join(load_data(str(path)).notes)


ZOO = {"a.jpg": {"dog": 1, "cat": 0}, "b.jpg": {"dog": 0, "cat": 1}}


@pytest.mark.parametrize(
    "text",
    [
        "image,animals,\n,dog,cat\na.jpg,1,0\nb.jpg,0,1\n",
        "image,animals,animals\n,dog,cat\na.jpg,1,0\nb.jpg,0,1\n",
        ",animals,\nimage,dog,cat\na.jpg,1,0\nb.jpg,0,1\n",
        ",animals,animals\n,dog,cat\nimage,,\na.jpg,1,0\nb.jpg,0,1\n",
        ",animals,animals\n,dog,cat\na.jpg,1,0\nb.jpg,0,1\n",
        ",dog,cat\na.jpg,1,0\nb.jpg,0,1\n",
        '"dog","cat"\n"a.jpg",1,0\n"b.jpg",0,1\n',
        '"image","dog","cat"\n"1","a.jpg",1,0\n"2","b.jpg",0,1\n',
        "IMAGE\\LABEL,dog,cat\na.jpg,1,0\nb.jpg,0,1\n",
    ],
    ids=[
        "groups",
        "repeated groups",
        "groups above",
        "pandas",
        "pandas, no name",
        "index",
        "R",
        "R, numbers",
        "corner",
    ],
)
def test_names_of_columns_as_programs_write_them(tmp_path: Path, text: str) -> None:
    path = placed(tmp_path / "labels.csv", text)
    assert labels_of(path) == ZOO


def test_a_corner_name_in_a_text_file_of_ids(tmp_path: Path) -> None:
    path = placed(tmp_path / "multilabels.txt", "IMAGE\\LABEL\tdog\tcat\na\t1\t0\nb\t0\t1\n")
    assert labels_of(path) == {"a": ZOO["a.jpg"], "b": ZOO["b.jpg"]}


def test_a_name_of_rows_of_another_length_is_refused(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", ",animals,animals\n,dog,cat\nimage,\na.jpg,1,0\n")
    with pytest.raises(UserError, match="row 3: 2 cells where the header has 3"):
        load_data(str(path))


def test_several_rows_of_names_are_said(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "Zoo\nimage,animals,\n,dog,cat\na.jpg,1,0\n")
    assert "above the header, not read: row 1; names of columns are in rows 2, 3" in notes_of(path)


def test_a_class_in_two_groups_is_called_after_them(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "image,left,,right,,split\n,dog,cat,dog,bird,\na.jpg,1,0,0,1,train\n")
    assert labels_of(path) == {"a.jpg": {"left dog": 1, "cat": 0, "right dog": 0, "bird": 1}}


def test_merged_names_of_groups_in_a_sheet(tmp_path: Path) -> None:
    rows = [["image", "animals", None], [None, "dog", "cat"], ["a.jpg", 1, 0], ["b.jpg", 0, 1]]
    placed(tmp_path / "x.txt", "")
    path = write_xlsx(tmp_path / "labels.xlsx", {"1": rows}, merged=("A1:A2", "B1:C1"))
    assert labels_of(path) == ZOO
    path = write_xlsx(tmp_path / "labels.xlsx", {"1": rows}, merged=("A1:A2", "B3:C3"))
    with pytest.raises(UserError, match="merged"):
        labels_of(path)


@pytest.mark.parametrize("text", ["image,dog\na.jpg,1,1\nb.jpg,0,1\n", "dog,cat\nx,1,0\ny,0,1\n"])
def test_other_rows_that_are_longer_than_the_header_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="row 2: 3 cells where the header has 2"):
        load_data(str(placed(tmp_path / "labels.csv", text)))


def test_a_row_of_names_is_changed_in_place(tmp_path: Path) -> None:
    text = '"dog","cat"\r\n"a.jpg",1,0\r\n"b.jpg",0,1\r\n'
    path = placed(tmp_path / "labels.csv", text)
    changed = amend_table(path, [{"cat": 1}, {}], DataOptions())
    assert changed.decode() == text.replace('"a.jpg",1,0', '"a.jpg",1,1')


@pytest.mark.parametrize("corner", ["image", "class", ""])
def test_classes_as_rows(tmp_path: Path, corner: str) -> None:
    path = placed(tmp_path / "labels.csv", f"{corner},a.jpg,b.jpg,c.jpg\ndog,1,0,\ncat,0,1,1\n")
    assert fields_of(path) == [{"transposed": True}]
    assert proposed(path) == [{**ZOO, "c.jpg": {"cat": 1}}]
    for refused in (amend_table, lambda *_: LabelCells.parse(path, path.read_bytes(), DataOptions(transposed=True))):
        with pytest.raises(UserError, match="--to csv"):
            refused(path, [], DataOptions(transposed=True))


def test_rows_of_classes_have_as_many_cells(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "x,a,b\ndog,1,0\ncat,1\n")
    with pytest.raises(UserError, match="row 3: other cells than in row 1"):
        labels_of(path, transposed=True)


def test_image_and_class_in_one_cell(tmp_path: Path) -> None:
    cells = [f"ID_{name}_{one},{value}\n" for name, row in ZOO.items() for one, value in row.items()]
    path = placed(tmp_path / "labels.csv", "ID,Label\n" + "".join(cells).replace(".jpg", ""), images="")
    for name in "ab":
        write_image(tmp_path / f"ID_{name}.png")
    assert fields_of(path) == [{"class_after": "_"}]
    assert proposed(path) == [{"ID_a": ZOO["a.jpg"], "ID_b": ZOO["b.jpg"]}]


def test_masks_say_that_a_class_is_there(tmp_path: Path) -> None:
    rows = "a.jpg_big_dog,12 3 14 5\na.jpg_cat,\nb.jpg_big_dog,\nb.jpg_cat,1 2\n"
    path = placed(tmp_path / "labels.csv", "Image_Label,EncodedPixels\n" + rows)
    assert fields_of(path) == [
        {"image_column": "Image_Label", "class_after": "_", "codes": "*=present,=absent"},
    ]
    assert proposed(path) == [{"a.jpg": {"big dog": 1, "cat": 0}, "b.jpg": {"big dog": 0, "cat": 1}}]


def test_eyes_are_no_classes(tmp_path: Path) -> None:
    rows = "".join(f"{n}_{side},{n}\n" for n in range(4) for side in ("left", "right"))
    path = placed(tmp_path / "labels.csv", "image,level\n" + rows)
    with pytest.raises(UserError) as caught:
        load_data(str(path))
    assert "--class-after" not in str(caught.value)


def test_a_mark_that_is_not_in_a_name(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "image,value\na.jpg_dog,1\nb.jpg,0\n")
    with pytest.raises(UserError, match=r"row 3: no class after '_' in 'b\.jpg'"):
        labels_of(path, class_after="_")


@pytest.mark.parametrize(
    ("name", "text", "header"),
    [
        ("labels.csv", "gs://x/a.jpg,dog,cat\ngs://x/b.jpg,dog\ngs://x/c.jpg\n", "image,labels"),
        ("labels.txt", "a.jpg dog cat\nb.jpg dog\nc.jpg\n", "image,labels"),
        ("labels.txt", "a.jpg dog,cat\nb.jpg dog\n", "image,labels"),
        ("labels.csv", "dog,1,2,3,4,a.jpg,9,9\ncat,5,6,7,8,a.jpg,9,9\ndog,1,2,3,4,b.jpg,9,9\n", None),
        ("labels.csv", 'a.jpg,"[dog,cat]"\nb.jpg,[dog]\n', "image,labels"),
    ],
    ids=["addresses", "spaces", "commas after a space", "boxes", "brackets"],
)
def test_rows_of_names_without_a_header(tmp_path: Path, name: str, text: str, header: str | None) -> None:
    path = placed(tmp_path / name, text)
    fields = fields_of(path)
    assert header is None or {one["header"] for one in fields} == {header}
    read = {image.rpartition("/")[2]: row for image, row in proposed(path)[-1].items()}
    assert fields[-1]["unlisted"] == "absent"
    assert read["a.jpg"] == {"dog": 1, "cat": 1}
    assert read["b.jpg"] == {"dog": 1, "cat": 0}


def test_splits_of_vertex(tmp_path: Path) -> None:
    text = "TRAINING,gs://x/a.jpg,dog,cat\nTEST,gs://x/b.jpg\nVALIDATION,gs://x/c.jpg,cat,bird,dog\n"
    path = placed(tmp_path / "labels.csv", text)
    fields = fields_of(path)
    assert [one["header"] for one in fields] == ["split,image,labels"] * 2
    options = replace(DataOptions(), **fields[0])
    assert list(load_parts(str(path), options=options)) == ["TRAINING", "TEST", "VALIDATION"]
    assert load_data(str(path), options=options).image_ids == ("gs://x/a.jpg",)
    assert load_data(str(path), purpose="test", options=options).image_ids == ("gs://x/b.jpg",)


@pytest.mark.parametrize(
    ("cells", "codes", "read"),
    [
        (("0.8,0.2", "0,1"), ">=0.5=present,<0.5=absent", ZOO),
        (("0,8;0,2", "0;1,0"), ">=0.5=present,<0.5=absent", ZOO),
        (("80%,20%", "0 %,100%"), ">=50%=present,<50%=absent", ZOO),
        (("3,0", "0,2"), ">0=present,0=absent", ZOO),
        (("0.7,", ",0.6"), ">=0.5=present,<0.5=absent,=unknown", {"a.jpg": {"dog": 1}, "b.jpg": {"cat": 1}}),
        (("dog,", ",cat"), "*=present,=unknown", {"a.jpg": {"dog": 1}, "b.jpg": {"cat": 1}}),
    ],
    ids=["shares", "decimal commas", "percent", "counts", "blank", "own names"],
)
def test_cells_of_numbers(tmp_path: Path, cells: Sequence[str], codes: str, read: Labels) -> None:
    mark = ";" if ";" in cells[0] else ","
    rows = [f"{name}.jpg{mark}{row}\n" for name, row in zip("ab", cells, strict=True)]
    path = placed(tmp_path / "labels.csv", mark.join(("image", "dog", "cat")) + "\n" + "".join(rows))
    assert fields_of(path)[0] == {"codes": codes}
    assert proposed(path)[0] == read


def test_only_the_certain_ones_of_shares(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "image,dog,cat\na.jpg,1,0.4\nb.jpg,0.9,0\n")
    assert proposed(path)[1] == {"a.jpg": {"dog": 1}, "b.jpg": {"cat": 0}}


def test_a_number_beside_labels_is_no_class(tmp_path: Path) -> None:
    rows = "".join(f"{name}.jpg,{i % 2},{i // 2},{20 + i}.5\n" for i, name in enumerate("abcd"))
    path = placed(tmp_path / "labels.csv", "image,dog,cat,age\n" + rows)
    assert fields_of(path) == [{"ignore": "age"}]


def test_all_ranges_of_codes(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "image,dog\na.jpg,5\nb.jpg,1\nc.jpg,3\nd.jpg,4\n")
    read = labels_of(path, codes=">=4=present,<=1=absent,>1=unknown")
    assert read == {"a.jpg": {"dog": 1}, "b.jpg": {"dog": 0}, "c.jpg": {}, "d.jpg": {"dog": 1}}
    with pytest.raises(UserError, match="row 4, column 'dog': cannot read '3'"):
        labels_of(path, codes=">3=present,<2=absent")


def test_a_blank_column_is_named(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "image,dog,notes\na.jpg,1,\nb.jpg,0,\n")
    assert "no label at all of 'notes'" in notes_of(path)
    path = placed(tmp_path / "labels.csv", "image,dog\na.jpg,1\nb.jpg,0\n")
    assert "no label" not in notes_of(path)


@pytest.mark.parametrize("odd", [b"x", b"\x00\xd8x\x00"])
def test_damaged_utf_16_is_called_so(tmp_path: Path, odd: bytes) -> None:
    path = placed(tmp_path / "labels.csv", "image,ночь\na.jpg,1\n".encode("utf-16") + odd)
    with pytest.raises(UserError, match="damaged text in UTF-16") as caught:
        load_data(str(path))
    assert "1252" not in str(caught.value)


def test_a_column_says_whether_a_listed_class_is_there(tmp_path: Path) -> None:
    rows = "a.jpg,dog,yes\na.jpg,cat,no\nb.jpg,dog,no\nb.jpg,cat,yes\n"
    path = placed(tmp_path / "labels.csv", "file,class,present\n" + rows)
    assert fields_of(path)[0] == {"label_column": "class", "value_column": "present"}
    assert proposed(path)[0] == ZOO


def test_a_confidence_is_not_read_as_presence(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "image,label,confidence\na.jpg,dog,0.9\na.jpg,cat,0.3\nb.jpg,dog,0.6\n")
    assert proposed(path)[0] == {"a.jpg": {"dog": 1, "cat": 0}, "b.jpg": {"dog": 1}}


def test_two_images_in_a_row(tmp_path: Path) -> None:
    text = "ID,left,right,left keywords,N,D\n0,a.jpg,b.jpg,fine,1,0\n2,c.jpg,d.jpg,ill,0,1\n"
    path = placed(tmp_path / "labels.csv", text)
    fields = fields_of(path)
    assert fields[0] == {"image_column": "left", "ignore": "ID,right,left keywords"}
    assert {"image_column": "right", "ignore": "ID,left,left keywords"} in fields
    assert proposed(path)[0] == {"a.jpg": {"N": 1, "D": 0}, "c.jpg": {"N": 0, "D": 1}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("dog,cat\na.jpg,b.jpg\nb.jpg,c.jpg\n", "every column holds images"),
        ("class,images\ndog,a.jpg|b.jpg\ncat,b.jpg|c.jpg\n", "no column of images"),
    ],
)
def test_lists_of_images_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        load_data(str(placed(tmp_path / "labels.csv", text)))


def test_choices_of_label_studio_in_a_csv(tmp_path: Path) -> None:
    text = 'image,id,choice,annotator\na.jpg,1,"{""choices"":[""dog"",""cat""]}",7\nb.jpg,2,dog,7\n'
    path = placed(tmp_path / "labels.csv", text)
    assert [one["label_column"] for one in fields_of(path)] == ["choice", "choice"]
    assert proposed(path)[1] == {"a.jpg": {"dog": 1, "cat": 1}, "b.jpg": {"dog": 1, "cat": 0}}


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        (["101", "011"], "'011' says of each class"),
        (["[1, 0, 1]", "[0, 1, 1]"], r"'\[1, 0, 1\]' says of each class"),
        (["dog:2; cat:1", "dog:1"], "'cat:1' is a name with a number"),
        (["dog (0.9)", "cat (0.2)"], r"'cat \(0\.2\)' is a name with a number"),
        (["dog;-cat", "dog;cat"], "'-cat' seems to mean an absent class"),
    ],
)
def test_lists_of_more_than_names_are_refused(tmp_path: Path, cells: list[str], problem: str) -> None:
    rows = "".join(f'{name}.jpg,"{cell}"\n' for name, cell in zip("ab", cells, strict=True))
    path = placed(tmp_path / "labels.csv", "image,labels\n" + rows)
    with pytest.raises(UserError, match=problem):
        labels_of(path, unlisted="absent")


@pytest.mark.parametrize(
    "cells",
    [["10", "11"], ["ratio 16:9", "Golf (1974)"], ["dog (young)", "well-known"]],
    ids=["ids", "numbers", "words"],
)
def test_such_names_are_names(tmp_path: Path, cells: list[str]) -> None:
    rows = "".join(f"{name}.jpg,{cell}\n" for name, cell in zip("ab", cells, strict=True))
    path = placed(tmp_path / "labels.csv", "image,labels\n" + rows)
    assert labels_of(path, unlisted="unknown", delimiter="|") == {
        f"{name}.jpg": {cell: 1} for name, cell in zip("ab", cells, strict=True)
    }


@pytest.mark.parametrize(
    ("both", "one"),
    [("{'dog', 'cat'}", "{'dog'}"), ("('dog', 'cat')", "('dog',)"), ("dog\ncat", "dog"), ("dog+cat", "dog")],
)
def test_lists_as_others_write_them(tmp_path: Path, both: str, one: str) -> None:
    path = placed(tmp_path / "labels.csv", f'image,labels\na.jpg,"{both}"\nb.jpg,"{one}"\n')
    read = proposed(path)[1]
    assert read == {"a.jpg": {"dog": 1, "cat": 1}, "b.jpg": {"dog": 1, "cat": 0}}


def test_splits_by_their_names_and_folds_are_no_classes(tmp_path: Path) -> None:
    rows = "a.jpg,1,0,0,train\nb.jpg,0,1,1,train\nc.jpg,1,1,0,test\n"
    path = placed(tmp_path / "labels.csv", "image,dog,cat,fold,set\n" + rows)
    assert labels_of(path) == ZOO
    assert list(load_parts(str(path))) == ["train", "test"]
    assert "splits are in column 'set'; not used: fold" in notes_of(path)
    assert labels_of(path, classes="dog,fold")["a.jpg"] == {"dog": 1, "fold": 0}


def test_a_set_that_is_a_class(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "image,set,dog\na.jpg,1,0\nb.jpg,0,1\n")
    assert labels_of(path) == {"a.jpg": {"set": 1, "dog": 0}, "b.jpg": {"set": 0, "dog": 1}}


def test_numbered_images_beside_a_column_of_classes(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "Class,IMG_1,IMG_2\ndog,1,0\ncat,0,1\n")
    assert fields_of(path) == [{"transposed": True}]


def test_two_rows_of_totals_are_refused(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "image,dog,cat\na.jpg,1,0\nSum,1,0\nTotal,1,0\n")
    with pytest.raises(UserError, match="'Sum' looks like a row of totals"):
        labels_of(path, without_totals=True)
    with pytest.raises(UserError, match="'Total' looks like a row of totals"):
        load_data(str(path))


def test_what_a_reading_says_may_make_a_list_of_a_table(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "What?,tags\na.jpg,dog|cat\nb.jpg,dog\n")
    assert proposed(path)[1] == {"a.jpg": {"dog": 1, "cat": 1}, "b.jpg": {"dog": 1, "cat": 0}}
    assert fields_of(path)[1] == {"image_column": "What?", "unlisted": "absent"}


def test_codes_of_missing_answers(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "image,dog,cat\na.jpg,P,N\nb.jpg,N,P\nc.jpg,U,-99\n")
    assert proposed(path) == [{**ZOO, "c.jpg": {}}]


def test_a_cell_that_says_image_is_no_header(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "Name,type,dog,cat\na.jpg,image,1,0\nb.jpg,image,0,1\n")
    assert proposed(path) == [ZOO]


def test_spaces_between_tags(tmp_path: Path) -> None:
    path = placed(tmp_path / "labels.csv", "image,tag_string,score\na.jpg,dog cat,3\nb.jpg,dog,5\n")
    assert {one["delimiter"] for one in fields_of(path)} == {" ", "|"}


def lines(*records: object) -> str:
    return "\n".join(map(json.dumps, records))


def about(**said: object) -> dict[str, object]:
    return {"human-annotated": "yes", "type": "groundtruth/image-classification", **said}


SAGEMAKER = lines(
    {"source-ref": "s3://x/a.jpg", "zoo": [0, 2], "zoo-metadata": about(**{"class-map": {"0": "dog", "2": "cat"}})},
    {"source-ref": "s3://x/b.jpg", "zoo": [0], "zoo-metadata": about(**{"class-map": {"0": "dog"}})},
)
SINGLE = lines(
    {"source-ref": "s3://x/a.jpg", "zoo": 0, "zoo-metadata": about(**{"class-name": "dog"})},
    {"source-ref": "s3://x/b.jpg", "zoo": 1, "zoo-metadata": about(**{"class-name": "cat"})},
)
VERTEX = lines(
    {"imageGcsUri": "gs://x/a.jpg", "classificationAnnotations": [{"displayName": "dog"}, {"displayName": "cat"}]},
    {"imageGcsUri": "gs://x/b.jpg", "classificationAnnotations": [{"displayName": "dog"}]},
)
LABELBOX = lines(
    *(
        {
            "data_row": {"id": f"c{name}", "external_id": f"{name}.jpg", "row_data": f"https://x/{name}.jpg"},
            "projects": {"c1": {"name": "zoo", "labels": [{"id": "l", "annotations": answers}]}},
        }
        for name, found in (("a", ["dog", "cat"]), ("b", ["dog"]))
        for answers in [{"classifications": [{"name": "what", "checklist_answers": [{"name": n} for n in found]}]}]
    )
)
AZURE = json.dumps(
    [
        {"id": "1", "originalImageUri": "https://x/a.jpg?s=1", "tags": [{"tagName": "dog"}, {"tagName": "cat"}]},
        {"id": "2", "originalImageUri": "https://x/b.jpg?s=1", "tags": [{"tagName": "dog"}]},
    ]
)
SCALE = json.dumps(
    [
        {"type": "x", "params": {"attachment": f"https://x/{name}.jpg", "attachment_type": "image"}, "response": found}
        for name, found in (("a", ["dog", "cat"]), ("b", ["dog"]))
    ]
)
NESTED = json.dumps(
    {"set": {"samples": [{"file": "a.jpg", "tags": ["dog", "cat"]}, {"file": "b.jpg", "tags": ["dog"]}]}}
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("output.manifest", SAGEMAKER),
        ("vertex.jsonl", VERTEX),
        ("export.ndjson", LABELBOX),
        ("tags.json", AZURE),
        ("tasks.json", SCALE),
        ("byclass.json", json.dumps({"dog": ["a.jpg", "b.jpg"], "cat": ["a.jpg"]})),
        ("nested.json", NESTED),
    ],
)
def test_lists_of_objects(tmp_path: Path, name: str, text: str) -> None:
    path = placed(tmp_path / name, text)
    read = [{image.rpartition("/")[2].partition("?")[0]: row for image, row in one.items()} for one in proposed(path)]
    assert read[-1] == {"a.jpg": {"dog": 1, "cat": 1}, "b.jpg": {"dog": 1, "cat": 0}}
    assert len(read) == 2


@pytest.mark.parametrize(
    "content",
    [
        {"image": {"0": "a.jpg", "1": "b.jpg"}, "dog": {"0": 1, "1": 0}, "cat": {"0": 0, "1": 1}},
        {"image": ["a.jpg", "b.jpg"], "dog": [1, 0], "cat": [0, 1]},
    ],
)
def test_columns_of_pandas(tmp_path: Path, content: object) -> None:
    assert labels_of(placed(tmp_path / "labels.json", json.dumps(content))) == ZOO


def test_a_list_for_each_split(tmp_path: Path) -> None:
    content = {name: [{"image": f"{image}.jpg", "dog": 1}] for name, image in (("train", "a"), ("test", "b"))}
    path = placed(tmp_path / "labels.json", json.dumps(content))
    assert {split: part.image_ids for split, part in load_parts(str(path)).items()} == {
        "train": ("a.jpg",),
        "test": ("b.jpg",),
    }


def test_classes_beside_the_images(tmp_path: Path) -> None:
    content = {"classes": ["dog", "cat", "fox"], "annotations": {"a.jpg": [0, 1], "b.jpg": [1]}}
    path = placed(tmp_path / "labels.json", json.dumps(content))
    assert labels_of(path, unlisted="absent") == {
        "a.jpg": {"dog": 1, "cat": 1, "fox": 0},
        "b.jpg": {"dog": 0, "cat": 1, "fox": 0},
    }


def test_guesses_of_a_model_are_refused(tmp_path: Path) -> None:
    record = {"image": "a.jpg", "labels": [{"label": "dog", "score": 0.9}, {"label": "cat", "score": 0.1}]}
    with pytest.raises(UserError, match="cannot read the list"):
        labels_of(placed(tmp_path / "labels.json", json.dumps([record])), unlisted="absent")


def test_one_class_of_each_image(tmp_path: Path) -> None:
    path = placed(tmp_path / "output.manifest", SINGLE)
    assert list(proposed(path)[-1].values()) == [{"dog": 1, "cat": 0}, {"dog": 0, "cat": 1}]


def test_a_job_per_class(tmp_path: Path) -> None:
    record = {"source-ref": "s3://x/a.jpg", "dog": 1, "dog-metadata": about(**{"class-name": "dog"}), "cat": 0}
    path = placed(tmp_path / "output.manifest", lines({**record, "cat-metadata": about(**{"class-name": "cat"})}))
    assert labels_of(path) == {"s3://x/a.jpg": {"dog": 1, "cat": 0}}


def test_classes_of_mmpretrain(tmp_path: Path) -> None:
    content = {
        "metainfo": {"classes": ["dog", "fox", "cat"]},
        "data_list": [{"img_path": "a.jpg", "gt_label": [0, 2]}, {"img_path": "b.jpg", "gt_label": 0}],
    }
    path = placed(tmp_path / "train.json", json.dumps(content))
    assert proposed(path)[1] == {
        "a.jpg": {"dog": 1, "fox": 0, "cat": 1},
        "b.jpg": {"dog": 1, "fox": 0, "cat": 0},
    }
    content["data_list"][1]["gt_label"] = 3  # type: ignore[call-overload]
    with pytest.raises(UserError, match="row 2: gt_label 3 is none of the 3 classes"):
        load_data(str(placed(path, json.dumps(content))))


@pytest.mark.parametrize(
    ("place", "keys", "of_class"),
    [
        ("{}.json", {"image": "{}.jpg"}, ("labels", None)),
        ("ann/{}.jpg.json", {}, ("labels", None)),
        ("ann/{}.jpg.json", {"size": {"width": 9}}, ("tags", "name")),
        ("x/{}.json", {"item": {"name": "{}.jpg"}}, ("annotations", "name")),
        ("{}.json", {}, ("shapes", "label")),
    ],
    ids=["image and labels", "labels", "Supervisely", "Darwin", "shapes"],
)
def test_a_file_for_each_image(
    tmp_path: Path, place: str, keys: dict[str, object], of_class: tuple[str, str | None]
) -> None:
    folder = tmp_path / "set"
    placed(folder / "img" / "note.md", "")
    for name, found in (("a", ["dog", "cat"]), ("b", ["dog"]), ("c", [])):
        key, inner = of_class
        listed = found if inner is None else [{inner: one} for one in found]
        text = json.dumps({**keys, key: listed}).replace("{}.jpg", f"{name}.jpg")
        placed(folder / place.format(name), text, images="")
    if "/" in place:
        placed(folder / "meta.json", json.dumps({"tags": [{"name": "dog"}]}), images="")
    assert detect_format(str(folder)) == "json"
    rows = list(proposed(folder)[-1].values())
    assert rows == [{"dog": 1, "cat": 1}, {"dog": 1, "cat": 0}, {"dog": 0, "cat": 0}]


def test_a_folder_of_lists_is_not_a_file_for_each_image(tmp_path: Path) -> None:
    for name in ("train", "val"):
        placed(tmp_path / f"{name}.json", json.dumps([{"image": "a.jpg", "labels": ["dog"]}]))
    with pytest.raises(UserError, match="name the file"):
        load_data(str(tmp_path))


def test_keys_of_two_objects_stay_apart(tmp_path: Path) -> None:
    record = {"name": "a.jpg", "meta": {"name": "camera"}, "labels": {"dog": 1, "cat": 0}}
    path = placed(tmp_path / "labels.json", json.dumps([record]))
    assert labels_of(path, image_column="name", ignore="meta name") == {"a.jpg": ZOO["a.jpg"]}
