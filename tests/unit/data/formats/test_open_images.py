"""Open Images: what people verified, and what a machine said."""

import numpy as np
import pytest

from promptmlr.data import DataOptions, detect_format, load_data, load_parts
from support import write_image

ROWS = """ImageID,Source,LabelName,Confidence
0001eeaf4aed83f9,verification,/m/0cmf2,1
0001eeaf4aed83f9,crowdsource-verification,/m/04_sv,0
000595fe6fee6369,verification,/m/0cmf2,0
000595fe6fee6369,machine,/m/04_sv,0.9
000595fe6fee6369,machine,/m/0cmf2,0.9
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "validation-annotations-human-imagelabels.csv").write_text(ROWS)
    (tmp_path / "oidv6-train-annotations-human-imagelabels.csv").write_text(ROWS.replace("0001eeaf", "1111eeaf"))
    (tmp_path / "oidv7-class-descriptions.csv").write_text(
        "LabelName,DisplayName\n/m/0cmf2,Airplane\n/m/04_sv,Motorcycle\n"
    )
    for name in ("0001eeaf4aed83f9", "1111eeaf4aed83f9", "000595fe6fee6369"):
        write_image(tmp_path / "images" / f"{name}.jpg")
    return tmp_path


def test_what_nobody_verified_is_unknown(folder):
    data = load_data(str(folder / "validation-annotations-human-imagelabels.csv"))
    assert data.class_names == ("Airplane", "Motorcycle")
    assert data.image_ids == ("0001eeaf4aed83f9", "000595fe6fee6369")
    np.testing.assert_array_equal(data.labels, [[1, 0], [0, -1]])
    assert all(image.exists() for image in data.images)
    assert data.reading == {"format": "open-images"}


def test_the_machines_labels_count_when_asked_for_and_never_against_a_person(folder):
    path = str(folder / "validation-annotations-human-imagelabels.csv")
    np.testing.assert_array_equal(load_data(path, options=DataOptions(machine_labels=0.8)).labels, [[1, 0], [0, 1]])
    np.testing.assert_array_equal(load_data(path, options=DataOptions(machine_labels=0.95)).labels, [[1, 0], [0, -1]])


def test_a_folder_has_a_file_for_each_split(folder, refused):
    assert load_data(str(folder)).image_ids[1] == "1111eeaf4aed83f9"
    assert load_data(str(folder), "test").image_ids[0] == "0001eeaf4aed83f9"
    assert sorted(load_parts(str(folder))) == ["train", "validation"]
    refused(["'tset'", "validation"], load_data, str(folder), "test", DataOptions(split="tset"))


def test_rows_that_contradict_each_other_leave_it_unknown(folder):
    path = folder / "validation-annotations-human-imagelabels.csv"
    path.write_text(ROWS + "0001eeaf4aed83f9,crowdsource-verification,/m/04_sv,1\n")
    data = load_data(str(path))
    np.testing.assert_array_equal(data.labels, [[1, -1], [0, -1]])
    assert any("1 labels that rows contradict" in note for note in data.notes)


def test_boxes_say_that_a_class_is_present(folder):
    path = folder / "train-annotations-bbox.csv"
    path.write_text("ImageID,Source,LabelName,Confidence,XMin,XMax\n0001eeaf4aed83f9,xclick,/m/0cmf2,1,0.1,0.2\n" * 1)
    np.testing.assert_array_equal(load_data(str(path)).labels, [[1]])


def test_a_class_without_a_name_keeps_its_number(folder):
    (folder / "oidv7-class-descriptions.csv").unlink()
    assert load_data(str(folder)).class_names == ("/m/0cmf2", "/m/04 sv")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("x,verification,/m/1,2\n", ["confidence outside 0 to 1"]),
        ("x,verification,/m/1,yes\n", ["not as Open Images writes it"]),
        ("x,verification\n", ["not as Open Images writes it"]),
        ("x,machine,/m/1,0.5\n", ["no label that a person verified", "--machine-labels"]),
        ("", ["no label that a person verified"]),
        (",verification,/m/1,1\n", ["no image name"]),
    ],
)
def test_files_of_another_form_are_refused(folder, refused, rows, words):
    path = folder / "validation-annotations-human-imagelabels.csv"
    path.write_text(ROWS.partition("\n")[0] + "\n" + rows)
    refused([path.name, *words], load_data, str(path))


def test_it_is_recognised(folder):
    assert detect_format(str(folder)) == "open-images"
    assert detect_format(str(folder / "oidv6-train-annotations-human-imagelabels.csv")) == "open-images"


def test_only_the_rows_of_chosen_classes_are_read(folder, refused):
    path = str(folder / "validation-annotations-human-imagelabels.csv")
    data = load_data(path, options=DataOptions(classes="Motorcycle"))
    assert (data.image_ids, data.class_names) == (("0001eeaf4aed83f9",), ("Motorcycle",))
    np.testing.assert_array_equal(data.labels, [[0]])
    refused(["'Bicycle'"], load_data, path, options=DataOptions(classes="Motorcycle,Bicycle"))
    refused(["Bicycle", "class-descriptions"], load_data, path, options=DataOptions(classes="Bicycle"))
