import shutil

import pytest

from promptmlr.data import DataOptions, load_data
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN

DOG, CAT = ("dog", False), ("cat", False)
HARD_CAT = ("cat", True)
LISTS = {
    "trainval": {"000009": [DOG, HARD_CAT], "000005": [HARD_CAT, CAT]},
    "test": {"000001": [("TVmonitor", False)]},
}


def label(data, image_id, name):
    return data.labels[data.image_ids.index(image_id), data.class_names.index(name)]


def test_labels_and_annotation_order(make_voc):
    data = load_data(str(make_voc(LISTS)))
    assert data.image_ids == ("000005", "000009")
    assert data.annotation_order.tolist() == [1, 0]
    assert data.labels.shape == (2, 20)
    assert data.source.endswith("VOC2007, split trainval")
    assert [label(data, "000009", name) for name in ("dog", "cat", "person")] == [PRESENT, ABSENT, ABSENT]
    assert [label(data, "000005", name) for name in ("dog", "cat")] == [ABSENT, PRESENT]
    assert "1 labels rest on difficult objects alone: absent, as in the released code" in data.notes
    assert data.images[0].open().mode == "RGB"


def test_difficult_objects_can_make_a_class_unknown(make_voc):
    data = load_data(str(make_voc(LISTS)), options=DataOptions(difficult="unknown"))
    assert [label(data, "000009", name) for name in ("dog", "cat")] == [PRESENT, UNKNOWN]
    assert label(data, "000005", "cat") == PRESENT


def test_a_difficult_object_after_an_easy_one_changes_nothing(make_voc):
    lists = {**LISTS, "trainval": {"000007": [CAT, HARD_CAT]}}
    data = load_data(str(make_voc(lists)), options=DataOptions(difficult="unknown"))
    assert label(data, "000007", "cat") == PRESENT


def test_the_purpose_chooses_the_list(make_voc):
    data = load_data(str(make_voc(LISTS)), purpose="test")
    assert data.source.endswith("split test")
    assert label(data, "000001", "tvmonitor") == PRESENT


@pytest.mark.parametrize("with_list", [True, False])
def test_val_stands_in_where_test_annotations_are_not_public(make_voc, with_list):
    lists = {"train": {"1": [DOG]}, "val": {"2": [CAT]}, "trainval": {"1": [DOG], "2": [CAT]}}
    root = make_voc({**lists, "test": {"3": None, "4": None}} if with_list else lists, "VOC2012")
    train, test = (load_data(str(root), purpose=purpose) for purpose in ("train", "test"))
    assert (train.image_ids, test.image_ids) == (("1",), ("2",))
    assert any("no annotations of the test images" in note for note in train.notes)


def test_a_missing_test_annotation_does_not_change_the_training_list(make_voc, refused):
    lists = {"train": {"1": [DOG]}, "val": {"2": [CAT]}, "trainval": {"1": [DOG], "2": [CAT]}}
    root = make_voc({**lists, "test": {"3": [DOG], "4": None, "5": None}})
    for purpose in ("train", "test"):
        refused(["no annotation", "4.xml", "2 of 3 of test"], load_data, str(root), purpose=purpose)


def test_the_devkit_is_found_from_above(make_voc):
    root = make_voc(LISTS)
    for folder in (root, root.parent, root.parent.parent):
        assert load_data(str(folder)).source.endswith("VOC2007, split trainval")


def test_two_years_are_refused(make_voc, refused):
    root = make_voc(LISTS)
    make_voc(LISTS, "VOC2012")
    refused(["VOC2007", "VOC2012", "name one"], load_data, str(root.parent))


def test_half_a_devkit_is_called_one(make_voc, refused):
    root = make_voc(LISTS)
    shutil.rmtree(root / "ImageSets")
    refused(["VOC2007 has JPEGImages", "ImageSets/Main", "as a whole"], load_data, str(root.parent))


def test_an_unknown_split_names_the_nearest(make_voc, refused):
    root = make_voc(LISTS)
    (root / "ImageSets" / "Main" / "cat_trainval.txt").write_text("000009 1\n")
    refused(["'trainvl'", "did you mean 'trainval'"], load_data, str(root), "train", DataOptions(split="trainvl"))
    message = refused(["known: test, trainval"], load_data, str(root), "train", DataOptions(split="xyz"))
    assert "cat_trainval" not in message


def test_a_missing_image_is_named(make_voc, refused):
    root = make_voc(LISTS)
    (root / "JPEGImages" / "000009.jpg").unlink()
    refused(["trainval.txt", "000009.jpg", "1 of 2"], load_data, str(root))


def break_xml(root):
    (root / "Annotations" / "000009.xml").write_text("<annotation><object>")


def unknown_encoding(root):
    (root / "Annotations" / "000009.xml").write_text('<?xml version="1.0" encoding="foo"?><annotation/>')


def web_page(root):
    (root / "Annotations" / "000009.xml").write_text("<html/>")


def remove_xml(root):
    (root / "Annotations" / "000009.xml").unlink()


def other_class(root):
    (root / "Annotations" / "000009.xml").write_text("<annotation><object><name>zebra</name></object></annotation>")


def empty_list(root):
    (root / "ImageSets" / "Main" / "trainval.txt").write_text("\n")


def repeated_image(root):
    (root / "ImageSets" / "Main" / "trainval.txt").write_text("000009\n000005\n000009\n")


def binary_list(root):
    (root / "ImageSets" / "Main" / "trainval.txt").write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_xml, ["000009.xml", "damaged XML"]),
        (unknown_encoding, ["000009.xml", "damaged XML", "foo"]),
        (web_page, ["000009.xml", "'html'", "'annotation'"]),
        (remove_xml, ["no annotation", "000009.xml"]),
        (other_class, ["000009.xml", "'zebra'"]),
        (empty_list, ["trainval.txt", "empty"]),
        (repeated_image, ["trainval.txt, row 3", "000009", "row 1"]),
        (binary_list, ["trainval.txt", "not a text file"]),
    ],
)
def test_damaged_devkits_are_refused(make_voc, refused, damage, words):
    root = make_voc(LISTS)
    damage(root)
    refused(words, load_data, str(root))
