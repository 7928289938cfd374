"""Answers go back into the file that the labels came from, and nothing else in it changes."""

import json
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from promptmlr.data import DataOptions, load_data, load_parts
from promptmlr.data.answers import answered, correct, correctable, read_answers
from sheet_support import write_xlsx
from support import Heard, write_image

ABSENT, UNKNOWN = DataOptions(unlisted="absent"), DataOptions(unlisted="unknown")
CVAT = """<annotations><!-- made by hand --><version>1.1</version>
  <meta><task><labels><label><name>dog</name></label><label><name>hot_dog</name></label></labels></task></meta>
  <image id="0" name="a.jpg"><tag label="dog"/><box label="hot_dog" xtl="0"/></image>
  <image id="1" name="b.jpg"/>
</annotations>
"""
TASKS = [
    {
        "id": 7,
        "data": {"image": "a.jpg", "note": "kept"},
        "annotations": [
            {
                "id": 1,
                "completed_by": 3,
                "result": [
                    {
                        "id": "x",
                        "from_name": "what",
                        "to_name": "img",
                        "type": "choices",
                        "value": {"choices": ["dog"]},
                    },
                    {"id": "y", "from_name": "box", "type": "rectanglelabels", "value": {"rectanglelabels": ["dog"]}},
                ],
            }
        ],
    },
    {"id": 8, "data": {"image": "b.jpg"}, "annotations": []},
    {
        "id": 9,
        "data": {"image": "c.jpg"},
        "annotations": [{"result": [{"from_name": "what", "to_name": "img", "value": {"choices": ["hot dog"]}}]}],
    },
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "abc":
        write_image(tmp_path / f"{name}.jpg")
    return tmp_path


def write(path: Path, content: str | object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return path


def labels_of(path: Path, options: DataOptions) -> dict[str, dict[str, int]]:
    return {
        image_id: dict(zip(part.class_names, row.tolist(), strict=True))
        for part in load_parts(str(path), options).values()
        for image_id, row in zip(part.image_ids, part.labels, strict=True)
    }


def check(path: Path, answers: dict[str, dict[str, int]], options: DataOptions) -> list[str]:
    """After the correction the file says what it said, and the answers."""
    expected = {image_id: {**row, **answers.get(image_id, {})} for image_id, row in labels_of(path, options).items()}
    corrected = path.with_name(f"corrected-{path.name}")
    notes = correct(str(path), answers, corrected, options)
    assert labels_of(corrected, options) == expected
    return notes


def test_cvats_tags_change_and_nothing_else(folder: Path) -> None:
    path = write(folder / "annotations.xml", CVAT)
    notes = check(path, {"a.jpg": {"dog": 0}, "b.jpg": {"hot dog": 1, "dog": 0}}, ABSENT)
    assert notes == ["2 of 3 answers change a label"]
    corrected = (folder / "corrected-annotations.xml").read_text()
    assert "<!-- made by hand -->" in corrected
    images = ET.fromstring(corrected).findall("image")
    assert [[(one.tag, one.get("label")) for one in image] for image in images] == [
        [("box", "hot_dog")],
        [("tag", "hot_dog")],
    ]


def test_a_shape_of_cvat_stays_and_is_reported(folder: Path) -> None:
    path = write(folder / "annotations.xml", CVAT)
    notes = correct(str(path), {"a.jpg": {"hot dog": 0}}, folder / "out.xml", ABSENT)
    assert notes[0] == "0 of 1 answers change a label"
    assert "1 answers are not in it" in notes[1]
    assert "'hot dog' in 'a.jpg'" in notes[1]
    assert labels_of(folder / "out.xml", ABSENT)["a.jpg"]["hot dog"] == 1


def test_label_studios_choices_change_and_nothing_else(folder: Path) -> None:
    path = write(folder / "tasks.json", TASKS)
    check(path, {"a.jpg": {"dog": 0, "hot dog": 1}, "b.jpg": {"dog": 1, "hot dog": 0}}, ABSENT)
    first, second, third = json.loads((folder / "corrected-tasks.json").read_text())
    assert first["data"] == TASKS[0]["data"]
    assert first["annotations"][0]["completed_by"] == 3
    assert first["annotations"][0]["result"][1] == TASKS[0]["annotations"][0]["result"][1]
    assert second["annotations"][0]["result"][0]["from_name"] == "what"
    assert third == TASKS[2]


def test_absent_answers_get_a_control_of_their_own_in_label_studio(folder: Path) -> None:
    path = write(folder / "tasks.json", TASKS)
    correct(str(path), {"a.jpg": {"dog": 0}}, folder / "out.json", UNKNOWN)
    assert labels_of(folder / "out.json", DataOptions())["a.jpg"] == {"dog": 0, "hot dog": -1}


@pytest.mark.parametrize("classes", [["dog", "hot dog"], None])
def test_fiftyones_targets_change_and_nothing_else(folder: Path, classes: list[str] | None) -> None:
    targets = [0] if classes else ["dog"]
    other = 1 if classes else "hot dog"
    content = {"classes": classes, "labels": {"a": targets, "b": None, "c": other}}
    path = write(folder / "labels.json", content)
    options = DataOptions(unlisted="absent", images=folder)
    correct(str(path), {"a.jpg": {"dog": 0, "hot dog": 1}}, folder / "corrected.json", options)
    corrected = json.loads((folder / "corrected.json").read_text())
    assert corrected == {**content, "labels": {**content["labels"], "a": [other]}}


def test_fiftyones_samples_change_and_nothing_else(folder: Path) -> None:
    held = {
        "_cls": "Classifications",
        "classifications": [{"_cls": "Classification", "label": "dog", "confidence": 0.5}],
    }
    content = {
        "name": "set",
        "samples": [
            {"filepath": "a.jpg", "tags": ["x"], "ground_truth": held},
            {"filepath": "b.jpg", "ground_truth": {"_cls": "Classification", "label": "hot_dog"}},
        ],
    }
    path = write(folder / "samples.json", content)
    check(path, {"a.jpg": {"hot dog": 1}, "b.jpg": {"hot dog": 0, "dog": 1}}, ABSENT)
    first, second = json.loads((folder / "corrected-samples.json").read_text())["samples"]
    assert first["tags"] == ["x"]
    assert first["ground_truth"]["classifications"][0] == held["classifications"][0]
    assert [one["label"] for one in second["ground_truth"]["classifications"]] == ["dog"]


def coco(federated: bool) -> dict:
    images = [{"id": number, "file_name": f"{name}.jpg"} for number, name in ((3, "c"), (1, "a"), (2, "b"))]
    return {
        "info": {"year": 2020},
        "images": [{**one, "neg_category_ids": [9] if one["id"] == 3 else []} if federated else one for one in images],
        "categories": [{"id": 9, "name": "hot_dog"}, {"id": 4, "name": "dog"}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 4, "bbox": [0, 0, 1, 1], "segmentation": [[1, 2]]},
            {"id": 6, "image_id": 2, "category_id": 9},
        ],
    }


@pytest.mark.parametrize("federated", [False, True])
def test_cocos_annotations_change_and_nothing_else(folder: Path, federated: bool) -> None:
    content = coco(federated)
    path = write(folder / "mine.json", content)
    answers = {"000000000003": {"dog": 1, "hot dog": 1}, "000000000002": {"hot dog": 0}}
    check(path, answers, DataOptions(coco_images="all"))
    corrected = json.loads((folder / "corrected-mine.json").read_text())
    assert corrected["info"] == content["info"]
    assert corrected["annotations"][0] == content["annotations"][0]
    assert len({one["id"] for one in corrected["annotations"]}) == len(corrected["annotations"])


def test_an_image_may_be_called_by_its_file(folder: Path) -> None:
    path = write(folder / "mine.json", coco(federated=False))
    correct(str(path), {"b.jpg": {"dog": 1}}, folder / "out.json", DataOptions(coco_images="all"))
    assert labels_of(folder / "out.json", DataOptions(coco_images="all"))["000000000002"]["dog"] == 1
    parts = load_parts(str(path), DataOptions(coco_images="all"))
    (part,) = answered(parts, {"b.jpg": {"dog": 1}}).values()
    assert part.labels[part.image_ids.index("000000000002")].tolist() == [1, 1]


def test_what_a_file_cannot_hold_leaves_no_trace_in_it(folder: Path) -> None:
    path = write(folder / "annotations.xml", CVAT)
    correct(str(path), {"a.jpg": {"dog": 0}}, folder / "out.xml", UNKNOWN)  # without its tag it would be unknown
    assert labels_of(folder / "out.xml", UNKNOWN)["a.jpg"]["dog"] == 1


def test_annotations_that_agree_or_were_cancelled_stay(folder: Path) -> None:
    def said(*names: str, **more: object) -> dict:
        part = {"from_name": "what", "to_name": "img", "type": "choices", "value": {"choices": [*names]}}
        return {"result": [part] if names else [], **more}

    tasks = [
        {"data": {"image": "a.jpg"}, "annotations": [said("dog", "cat"), said("cat")]},
        {"data": {"image": "b.jpg"}, "annotations": [said(was_cancelled=True), said("dog")]},
    ]
    path = write(folder / "tasks.json", tasks)
    correct(str(path), {"a.jpg": {"dog": 1}, "b.jpg": {"cat": 1}}, folder / "out.json", ABSENT)
    first, second = json.loads((folder / "out.json").read_text())
    assert first["annotations"] == [said("dog", "cat"), said("cat", "dog")]
    assert second["annotations"] == [said(was_cancelled=True), said("dog", "cat")]


def test_a_box_of_coco_stays_and_is_reported(folder: Path) -> None:
    path = write(folder / "mine.json", coco(federated=False))
    notes = correct(str(path), {"000000000001": {"dog": 0}}, folder / "out.json", DataOptions())
    assert notes[0] == "0 of 1 answers change a label"
    assert "1 answers are not in it" in notes[1]
    assert labels_of(folder / "out.json", DataOptions())["000000000001"]["dog"] == 1


def test_answers_of_what_is_not_there_are_refused_and_nothing_is_written(folder: Path, refused) -> None:
    path = write(folder / "annotations.xml", CVAT)
    out = folder / "out.xml"
    refused(["'z.jpg'"], correct, str(path), {"z.jpg": {"dog": 1}}, out, ABSENT)
    refused(["'cat'", "dog"], correct, str(path), {"a.jpg": {"cat": 1}}, out, ABSENT)
    assert not out.exists()
    out.write_text("mine")
    refused(["--overwrite"], correct, str(path), {"a.jpg": {"dog": 0}}, out, ABSENT)
    assert out.read_text() == "mine"


def test_an_answer_that_would_say_more_than_itself_is_refused(folder: Path, refused) -> None:
    path = write(folder / "tasks.json", TASKS)
    answers = {"b.jpg": {"dog": 1}}  # nobody labelled b.jpg: with one choice in it the others would be absent
    refused(["'b.jpg'", "'hot dog'", "--to csv"], correct, str(path), answers, folder / "out.json", ABSENT)
    assert not (folder / "out.json").exists()
    correct(str(path), answers, folder / "out.json", UNKNOWN)


def test_formats_that_cannot_be_corrected_say_which_can(folder: Path, refused) -> None:
    (folder / "a.txt").write_text("dog")
    refused(["cvat", "coco", "--to"], correct, str(folder), {}, folder / "out", ABSENT)


def test_the_last_answer_in_a_journal_counts(tmp_path: Path, refused) -> None:
    lines = [
        {"image": "a", "class": "dog", "value": "1", "state": "waiting"},
        {"image": "a", "class": "dog", "value": "0", "state": "written"},
        {"image": "a", "class": "cat", "value": "1", "state": "waiting"},
        {"image": "a", "class": "cat", "value": "1", "state": "dropped"},
        {"image": "b", "class": "cat", "value": "", "state": "written"},
    ]
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"image": "c", "cla')
    assert read_answers(path) == {"a": {"dog": 0}, "b": {"cat": -1}}
    whole = json.dumps({"image": "c", "class": "cat", "value": "1"})
    path.write_text(f'{whole}\n{{"image": "c", "cla\n{json.dumps(lines[0])}\n')  # cut short, and then gone on with
    assert read_answers(path) == {"c": {"cat": 1}, "a": {"dog": 1}}
    path.write_text('{"image": "c", "class": "dog", "value": 1}\n')
    assert read_answers(path) == {"c": {"dog": 1}}
    path.write_text(json.dumps(lines[0]) + '\n{"image": "c"}\n')
    refused(["line 2", "journal.jsonl", "value"], read_answers, path)
    refused(["nothing.jsonl"], read_answers, tmp_path / "nothing.jsonl")


def test_answers_replace_labels_in_memory(folder: Path, refused) -> None:
    path = write(folder / "annotations.xml", CVAT)
    parts = load_parts(str(path), ABSENT)
    np.testing.assert_array_equal(answered(parts, {"b.jpg": {"dog": 1}})[None].labels, [[1, 1], [1, 0]])
    np.testing.assert_array_equal(parts[None].labels, load_data(str(path), options=ABSENT).labels)
    refused(["'z'"], answered, parts, {"z": {"dog": 1}})


def test_of_several_journals_the_one_named_last_counts(tmp_path: Path) -> None:
    first, second, heard = tmp_path / "a.jsonl", tmp_path / "b.jsonl", Heard()
    line = '{"image": "%s", "class": "dog", "value": "%s"}\n'
    first.write_text(line % ("a", 1) + line % ("b", 0))
    second.write_text(line % ("a", 0) + line % ("b", 0))
    assert read_answers(first, second, reporter=heard) == {"a": {"dog": 0}, "b": {"dog": 0}}
    assert read_answers(second, first) == {"a": {"dog": 1}, "b": {"dog": 0}}
    (note,) = heard.notes
    assert note.startswith("1 cell answered differently")
    assert "'dog' in 'a'" in note


def test_how_many_answered_images_are_missing(folder: Path, refused) -> None:
    path = write(folder / "annotations.xml", CVAT)
    answers = {name: {"dog": 1} for name in ("a.jpg", "y.jpg", "z.jpg")}
    refused(["'y.jpg'", "2 of the 3 answered images"], correct, str(path), answers, folder / "out.xml", ABSENT)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_table_in_utf_16_stays_in_it(folder: Path, encoding: str) -> None:
    path, text = folder / "labels.csv", "\ufeffimage\tdög\tcat\r\na.jpg\t1\t\r\nb.jpg\t0\t1\r\n"
    path.write_bytes(text.encode(encoding))
    check(path, {"a.jpg": {"dög": 0, "cat": 1}}, DataOptions())
    corrected = (folder / "corrected-labels.csv").read_bytes()
    assert corrected == text.replace("a.jpg\t1\t", "a.jpg\t0\t1").encode(encoding)


@pytest.mark.parametrize(("codes", "text"), [("1=present,0=absent", None), ("1=present,0=absent,?=unknown", "?")])
def test_an_answer_unknown_needs_a_code(folder: Path, refused, codes: str, text: str | None) -> None:
    path, answers = write(folder / "labels.csv", "image,dog\na.jpg,1\nb.jpg,0\n"), {"a.jpg": {"dog": -1}}
    options = DataOptions(codes=codes)
    if text is None:
        refused(["no code says unknown", "such as =unknown"], correct, str(path), answers, folder / "o.csv", options)
    else:
        check(path, answers, options)
        assert (folder / "corrected-labels.csv").read_text() == f"image,dog\na.jpg,{text}\nb.jpg,0\n"


def test_an_outline_of_coco_stays(folder: Path) -> None:
    content = coco(federated=False)
    content["annotations"][1] = {**content["annotations"][1], "segmentation": {"counts": [0, 5], "size": [5, 1]}}
    path = write(folder / "mine.json", content)
    notes = correct(str(path), {"b.jpg": {"hot dog": 0}}, folder / "out.json", DataOptions(coco_images="all"))
    assert notes[0] == "0 of 1 answers change a label"
    assert json.loads((folder / "out.json").read_text()) == content


TABLE = (
    'Image;split;"Hot; dog";cat;remark\r\na.jpg;train;Yes;No;"say ""hi"""\r\n'
    'b.jpg;test;;"No";\r\nc.jpg;test;No;Yes;x\r\n'
)


def test_a_table_changes_in_its_own_writing_and_nothing_else(folder: Path) -> None:
    path = folder / "labels.csv"
    path.write_bytes(b"\xef\xbb\xbf" + TABLE.encode())
    options = DataOptions(ignore="remark", codes="Yes=present,No=absent,=unknown")
    check(path, {"b.jpg": {"Hot; dog": 1, "cat": 1}, "c.jpg": {"cat": -1}}, options)
    expected = TABLE.replace('test;;"No";', 'test;Yes;"Yes";').replace("No;Yes;x", "No;;x")
    assert (folder / "corrected-labels.csv").read_bytes() == b"\xef\xbb\xbf" + expected.encode()


@pytest.mark.parametrize("cells", [(1, 0, None), ("Yes", "No", None), (True, False, None), ("x", "-", "?")])
def test_a_sheet_changes_and_everything_else_in_the_file_stays(folder: Path, cells: tuple) -> None:
    present, absent, unknown = cells
    path = folder / "labels.xlsx"
    body = [
        ["a.jpg", present, unknown],
        ["b.jpg", absent, present],
        ["c.jpg", unknown, absent],
    ]
    write_xlsx(path, {"labels": [["image", "dog", "cat"], *body], "others": [["kept"]]})
    codes = None if unknown is None else "x=present,-=absent,?=unknown"
    answers = {"a.jpg": {"cat": 1, "dog": 0}, "c.jpg": {"dog": 1, "cat": -1}}
    check(path, answers, DataOptions(sheet="labels", codes=codes))
    before, after = zipfile.ZipFile(path), zipfile.ZipFile(folder / "corrected-labels.xlsx")
    changed = [name for name in before.namelist() if before.read(name) != after.read(name)]
    assert before.namelist() == after.namelist()
    assert changed == ["xl/worksheets/sheet1.xml"]


def edited(path: Path, **parts) -> None:
    """Change parts of an archive: the end of a name → from bytes to bytes."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            change = parts.get(Path(name).stem, lambda same: same)
            archive.writestr(name, change(content))


@pytest.mark.parametrize("calculation", [b'<calcPr calcId="1"/>', b'<calcPr calcId="1" fullCalcOnLoad="0"/>', b""])
def test_formulas_that_count_labels_are_calculated_when_the_file_is_opened(folder: Path, calculation: bytes) -> None:
    path = folder / "labels.xlsx"
    write_xlsx(path, {"labels": [["image", "dog", "sum"], ["a.jpg", 1, 7]]})
    edited(
        path,
        sheet1=lambda xml: xml.replace(b"<v>7</v>", b"<f>SUM(B2)</f><v>7</v>").replace(
            b"</sheetData>", b'</sheetData><rowBreaks count="0"/>'
        ),
        workbook=lambda xml: re.sub(rb"<calcPr[^>]*/>", b"", xml).replace(b"</sheets>", b"</sheets>" + calculation),
    )
    check(path, {"a.jpg": {"dog": 0}}, DataOptions(ignore="sum"))
    with zipfile.ZipFile(folder / "corrected-labels.xlsx") as archive:
        book = archive.read("xl/workbook.xml")
    assert book.count(b'fullCalcOnLoad="1"') == book.count(b"<calcPr") == 1
    assert book.index(b"</sheets>") < book.index(b"<calcPr")


def test_rows_that_cannot_be_found_in_a_sheet_are_refused(folder: Path, refused) -> None:
    path = folder / "labels.xlsx"
    write_xlsx(path, {"labels": [["image", "dog"], ["a.jpg", 1]]})
    edited(path, sheet1=lambda xml: re.sub(rb'(<(?:row|c)) r="[^"]*"', rb"\1", xml))
    assert labels_of(path, DataOptions()) == {"a.jpg": {"dog": 1}}
    refused(["rows", "--to csv"], correct, str(path), {"a.jpg": {"dog": 0}}, folder / "out.xlsx", DataOptions())
    assert not correctable(str(path), DataOptions())


def test_a_formula_is_not_overwritten(folder: Path, refused) -> None:
    path = folder / "labels.xlsx"
    write_xlsx(path, {"labels": [["image", "dog"], ["a.jpg", 1]]})
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    place = "xl/worksheets/sheet1.xml"
    files[place] = files[place].replace(b"<v>1</v>", b"<f>1</f><v>1</v>")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    refused(["B2", "formula"], correct, str(path), {"a.jpg": {"dog": 0}}, folder / "out.xlsx", DataOptions())


@pytest.mark.parametrize("targets", [["dog", 1], [{"label": "dog"}]])
def test_fiftyones_names_stay_names(folder: Path, targets: list) -> None:
    content = {"classes": ["dog", "hot_dog"], "labels": {"a": targets, "b": []}}
    path = write(folder / "labels.json", json.dumps(content))
    (folder / "data").mkdir()
    for name in "ab":
        write_image(folder / "data" / f"{name}.jpg")
    correct(
        str(path),
        {"data/b.jpg": {"hot dog": 1}},
        folder / "out.json",
        DataOptions(unlisted="absent", format="fiftyone"),
    )
    assert json.loads((folder / "out.json").read_text())["labels"] == {"a": targets, "b": ["hot_dog"]}
