import os

import pytest

from promptmlr.data import DataOptions, load_data, load_parts

VOC = {"trainval": {"1": [("dog", False)]}, "test": {"2": [("dog", False)]}}


def test_data_that_do_not_exist_are_refused(tmp_path, refused):
    refused(["no such file or folder", "nowhere"], load_data, str(tmp_path / "nowhere"))


def test_a_folder_of_another_kind_says_what_was_looked_for(tmp_path, refused):
    refused([".csv", "JPEGImages", "instances_*.json", "--format"], load_data, str(tmp_path))


def test_two_kinds_in_one_folder_need_a_format(make_voc, make_coco, refused):
    root = make_coco([(7, 3, 0)])
    make_voc(VOC).rename(root / "VOC2007")
    refused(["--format voc", "--format coco"], load_data, str(root))
    assert load_data(str(root), options=DataOptions(format="coco")).source.startswith("COCO")
    assert load_data(str(root), options=DataOptions(format="voc")).source.startswith("VOC")


def test_a_format_can_be_named(make_csv, refused):
    path = make_csv("image,cat\na.png,1\n")
    text = path.rename(path.with_suffix(".txt"))
    assert load_data(str(text), options=DataOptions(format="csv")).labels.tolist() == [[1]]
    refused(["'cvs'", "'csv'"], load_data, str(text), options=DataOptions(format="cvs"))


@pytest.mark.parametrize("kind", [None, "csv"])
@pytest.mark.parametrize(("name", "words"), [(b"bad\xff.csv", ["not UTF-8"]), (b"x" * 300, ["too long"])])
def test_a_name_that_cannot_be_written_or_looked_for(make_csv, refused, name, words, kind):
    path = make_csv("image,cat\na.png,1\n")
    named = path.with_name(os.fsdecode(name))
    if len(name) < 256:
        path.rename(named)
    refused(words, load_data, str(named), options=DataOptions(format=kind))


@pytest.mark.parametrize("kind", ["voc", "coco"])
def test_a_format_that_does_not_fit_is_refused(tmp_path, refused, kind):
    refused([kind.upper(), str(tmp_path)], load_data, str(tmp_path), options=DataOptions(format=kind))


def test_a_folder_named_scenes_is_no_drawn_world(tmp_path, monkeypatch, refused):
    (tmp_path / "scenes").mkdir()
    monkeypatch.chdir(tmp_path)
    refused(["neither"], load_data, "./scenes")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"difficult": "skp"}, ["'skp'", "difficult", "'skip'"]),
        ({"crowd": "maybe"}, ["'maybe'", "crowd", "absent"]),
        ({"coco_images": "some"}, ["'some'", "coco_images"]),
        ({"scenes_train": 0}, ["scenes_train", "0"]),
    ],
)
def test_unknown_options_are_refused(refused, options, words):
    refused(words, DataOptions, **options)


def test_classes_are_chosen_or_left_out_in_any_format(make_coco, refused):
    root = str(make_coco([(100, 18, 0), (7, 3, 0)]))
    whole = load_data(root)
    assert whole.class_names == ("cat", "hot dog")
    only = load_data(root, options=DataOptions(classes="hot_dog"))
    assert only.class_names == ("hot dog",)
    assert (only.labels == whole.labels[:, 1:]).all()
    assert load_data(root, options=DataOptions(ignore="cat")).class_names == ("hot dog",)
    assert load_data(root, options=DataOptions(classes="hot dog,cat")).class_names == ("hot dog", "cat")
    refused(["'dog'", "hot dog"], load_data, root, options=DataOptions(classes="dog"))
    assert load_parts(root, DataOptions(ignore="cat"))["train2017"].class_names == ("hot dog",)
    other = load_data(root, like={"format": "coco", "classes": "cat,zebra"})  # as in another data set
    assert other.class_names == ("cat",)
