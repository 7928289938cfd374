import json

import numpy as np
import pytest

from promptmlr.data import DataOptions, load_data, load_parts
from promptmlr.data.formats.coco import COCO_CLASS_NAMES
from support import require_shared

# Image 100 is annotated first, 7 next, 30 never; category 3 is cat (column 0), 18 hot dog (column 1).
# Image 7 has a crowd of cats alone, and hot dogs both single and in a crowd.
OBJECTS = [(100, 18, 0), (7, 3, 1), (7, 18, 0), (7, 18, 1), (100, 18, 0)]


def test_labels_classes_and_annotation_order(make_coco):
    data = load_data(str(make_coco(OBJECTS)))
    assert data.class_names == ("cat", "hot dog")
    assert data.image_ids == ("000000000007", "000000000100")
    np.testing.assert_array_equal(data.labels, [[1, 1], [0, 1]])
    np.testing.assert_array_equal(data.annotation_order, [1, 0])
    assert data.source.endswith("coco, split train2017")
    assert any("others are left out, as in the released code (--coco-images all)" in note for note in data.notes)
    assert data.images[0].open().mode == "RGB"


def test_all_images_can_count(make_coco):
    data = load_data(str(make_coco(OBJECTS)), options=DataOptions(coco_images="all"))
    assert data.image_ids == ("000000000007", "000000000030", "000000000100")
    np.testing.assert_array_equal(data.labels, [[1, 1], [0, 0], [0, 1]])
    np.testing.assert_array_equal(data.annotation_order, [1, 2, 0])
    assert "2 of 3 images have annotations: all are used" in data.notes


@pytest.mark.parametrize(("crowd", "label"), [("present", 1), ("unknown", -1), ("absent", 0)])
def test_what_a_crowd_means(make_coco, crowd, label):
    data = load_data(str(make_coco(OBJECTS)), options=DataOptions(crowd=crowd))
    np.testing.assert_array_equal(data.labels, [[label, 1], [0, 1]])
    assert f"1 labels rest on crowds alone: {crowd}" in data.notes


@pytest.mark.parametrize("folder", ["train2017", "images/train2017", "images", "."])
def test_usual_image_folders(make_coco, folder):
    assert len(load_data(str(make_coco(OBJECTS, images=folder))).images) == 2


def test_another_image_folder(make_coco, refused):
    root = make_coco(OBJECTS, images="../elsewhere")
    refused(["000000000100.jpg", "train2017", "--images"], load_data, str(root))
    assert len(load_data(str(root), options=DataOptions(images=root.parent / "elsewhere")).images) == 2


def test_the_purpose_chooses_the_split_and_two_years_need_a_name(make_coco, refused):
    root = make_coco(OBJECTS)
    make_coco(OBJECTS, "val2014")
    assert load_data(str(root), purpose="test").source.endswith("split val2014")
    make_coco(OBJECTS, "train2014")
    refused(["2 splits train*", "--split", "train2014", "train2017"], load_data, str(root))
    assert load_data(str(root), options=DataOptions(split="train2014")).source.endswith("split train2014")
    refused(["'train2015'", "did you mean"], load_data, str(root), "train", DataOptions(split="train2015"))


def test_a_missing_image_is_named(make_coco, refused):
    root = make_coco(OBJECTS)
    (root / "train2017" / "000000000007.jpg").unlink()
    refused(["instances_train2017.json, image 7", "000000000007.jpg", "1 of 2"], load_data, str(root))


def without_categories(content):
    del content["categories"]


def unknown_category(content):
    content["annotations"][1]["category_id"] = 99


def unknown_image(content):
    content["annotations"][1]["image_id"] = 99


def image_twice(content):
    content["images"].append(content["images"][0])


def same_name(content):
    content["categories"][1]["name"] = "hot dog"


def nothing_annotated(content):
    content["annotations"] = []


def annotations_of_another_kind(content):
    content["annotations"] = {"7": "cat"}


def crowd_as_text(content):
    content["annotations"][1]["iscrowd"] = "0"


def two_lines(content):
    content["categories"][1]["name"] = "hot\ndog"


def half_a_pair(content):
    content["categories"][1]["name"] = "\ud800"


def captions(content):
    content["annotations"] = [{"image_id": 7, "caption": "a cat"}]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_categories, ["lacks 'categories'"]),
        (unknown_category, ["annotation 2", "category 99"]),
        (unknown_image, ["annotation 2", "image 99"]),
        (image_twice, ["images have the same id"]),
        (same_name, ["duplicate class name 'hot dog'"]),
        (nothing_annotated, ["no image with annotations"]),
        (annotations_of_another_kind, ["not a COCO instances file"]),
        (crowd_as_text, ["annotation 2", "iscrowd is '0'", "0 or 1"]),
        (two_lines, ["class 1 of 2", r"'hot\ndog'"]),
        (half_a_pair, ["class 1 of 2", r"'\ud800'"]),
        (captions, ["lacks 'category_id'"]),
    ],
)
def test_damaged_files_are_refused(make_coco, refused, damage, words):
    root = make_coco(OBJECTS)
    path = root / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    refused(["instances_train2017.json", *words], load_data, str(root))


@pytest.mark.parametrize("text", ["", '{"images": [', "[" * 100_000, "\0", "[]"])
def test_bad_json_is_refused(make_coco, refused, text):
    root = make_coco(OBJECTS)
    (root / "annotations" / "instances_train2017.json").write_text(text)
    refused(["instances_train2017.json"], load_data, str(root))


def edited(root, change, name="instances_train2017.json"):
    path = root / "annotations" / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_one_file_is_a_data_set(make_coco, refused):
    path = make_coco(OBJECTS) / "annotations" / "instances_train2017.json"
    data = load_data(str(path))
    np.testing.assert_array_equal(data.labels, load_data(str(path.parent.parent)).labels)
    assert data.image_ids == ("000000000007", "000000000100")
    assert list(load_parts(str(path))) == ["train2017"]
    refused(["no split 'val'", "train2017"], load_data, str(path), "test", DataOptions(split="val"))
    elsewhere = path.parent.parent.parent / "mine.json"
    elsewhere.write_bytes(path.read_bytes())
    assert len(load_data(str(elsewhere), options=DataOptions(images=path.parent.parent)).images) == 2


def test_lvis_says_what_is_absent_and_names_images_by_address(make_coco, tmp_path):
    def as_lvis(content):
        for image in content["images"]:
            image["coco_url"] = f"http://images.cocodataset.org/train2017/{image.pop('file_name')}"
            image["neg_category_ids"] = {7: [], 30: [18], 100: [3]}[image["id"]]
            image["not_exhaustive_category_ids"] = []
        for annotation in content["annotations"]:
            del annotation["iscrowd"]

    data = load_data(str(edited(make_coco(OBJECTS), as_lvis)))
    assert data.image_ids == ("000000000007", "000000000030", "000000000100")
    np.testing.assert_array_equal(data.labels, [[1, 1], [-1, 0], [0, 1]])
    assert all(image.exists() for image in data.images)

    def called_as_in_2014(content):
        for image in content["images"]:
            image["file_name"] = f"COCO_train2014_{image['id']:012d}.jpg"

    path = edited(tmp_path / "coco", called_as_in_2014)
    assert all(image.exists() for image in load_data(str(path)).images)


LOOKED_FOR = {30: [3], 7: [3, 18], 100: []}


def test_images_annotated_for_some_categories_alone(make_coco, tmp_path, refused):
    def with_field(content):
        for image in content["images"]:
            image["looked_for"] = LOOKED_FOR[image["id"]]

    path = edited(make_coco(OBJECTS[:2]), with_field)
    data = load_data(str(path), options=DataOptions(annotated_categories="looked_for"))
    np.testing.assert_array_equal(data.labels, [[1, 0], [0, -1], [-1, 1]])
    sidecar = tmp_path / "looked.json"
    sidecar.write_text(json.dumps(LOOKED_FOR))
    again = load_data(str(path), options=DataOptions(annotated_categories=str(sidecar)))
    np.testing.assert_array_equal(again.labels, data.labels)
    refused(["'looked'", "did you mean"], load_data, str(path), options=DataOptions(annotated_categories="looked"))
    sidecar.write_text(json.dumps({"7": []}))
    refused([str(sidecar), "image 30"], load_data, str(path), options=DataOptions(annotated_categories=str(sidecar)))
    sidecar.write_text("[]")
    refused([str(sidecar)], load_data, str(path), options=DataOptions(annotated_categories=str(sidecar)))


def test_a_category_id_that_is_none_is_refused(make_coco, refused):
    def odd(content):
        for image in content["images"]:
            image["neg_category_ids"] = [99]

    refused(["99", "instances_train2017.json"], load_data, str(edited(make_coco(OBJECTS), odd)))


def test_real_lvis_labels():
    path = require_shared("labels", "lvis_val_100.json")
    data = load_data(str(path), options=DataOptions(skip_unreadable=True, coco_images="all"))
    content = json.loads(path.read_text())
    assert len(data.image_ids) == len(content["images"]) == 100
    assert np.count_nonzero(data.labels == 0) == sum(len(set(one["neg_category_ids"])) for one in content["images"])
    shown = {(entry["image_id"], entry["category_id"]) for entry in content["annotations"]}
    assert np.count_nonzero(data.labels == 1) == len(shown)


def test_coco_photos_have_the_labels_of_their_annotations():
    root = require_shared("coco-photos")
    train, val = (load_data(str(root), purpose=purpose) for purpose in ("train", "test"))
    assert train.class_names == val.class_names
    assert len(train.class_names) == 80
    assert set(train.image_ids).isdisjoint(val.image_ids)
    for data, split in ((train, "train2017"), (val, "val2017")):
        content = json.loads((root / "annotations" / f"instances_{split}.json").read_text())
        names = {category["id"]: category["name"] for category in content["categories"]}
        pairs = {(f"{entry['image_id']:012d}", names[entry["category_id"]]) for entry in content["annotations"]}
        found = {(data.image_ids[i], data.class_names[c]) for i, c in np.argwhere(data.labels == 1)}
        assert found == pairs
        assert all(image.open().mode == "RGB" for image in data.images)


def test_class_names_are_those_of_cocos_own_file():
    path = require_shared("coco-photos", "annotations", "instances_val2017.json")
    categories = json.loads(path.read_text(encoding="utf-8"))["categories"]
    by_id = sorted(categories, key=lambda category: category["id"])
    assert tuple(category["name"] for category in by_id) == COCO_CLASS_NAMES
