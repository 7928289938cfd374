"""Each format as its own tools write it; what is ambiguous is refused with both readings."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from promptmlr.data import DataOptions, detect_format, load_data, load_parts
from promptmlr.data.images import UnreadableImage
from promptmlr.errors import UserError

UNKNOWN, ABSENT = DataOptions(unlisted="unknown"), DataOptions(unlisted="absent")


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2), "red").save(path)


def labels_of(data) -> dict[str, dict[str, int]]:
    """Image → class → label, known ones alone."""
    return {
        image_id: {name: int(code) for name, code in zip(data.class_names, row, strict=True) if code != -1}
        for image_id, row in zip(data.image_ids, data.labels, strict=True)
    }


def read(path: Path, **options) -> dict[str, dict[str, int]]:
    return labels_of(load_data(str(path), options=DataOptions(**options)))


def check_both_readings(refused, path: Path) -> None:
    refused(["--unlisted unknown if nobody looked", "--unlisted absent if", path.name], load_data, str(path))


# long CSV


def test_a_long_csv(make_csv):
    path = make_csv("image,label,value\na.png,hot_dog,1\na.png,cat,0\nb.png,cat,\nb.png,hot dog,y\nc.png,,\n")
    assert detect_format(str(path)) == "long-csv"
    assert read(path) == {"a.png": {"hot dog": 1, "cat": 0}, "b.png": {"hot dog": 1}, "c.png": {}}
    assert read(path, unlisted="absent") == {
        "a.png": {"hot dog": 1, "cat": 0},
        "b.png": {"hot dog": 1},
        "c.png": {"cat": 0, "hot dog": 0},
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,label,value\na.png,cat,-1\n", ["row 2", "-1 means absent to some"]),
        ("image,label,value\na.png,cat,1\na.png,cat,0\n", ["row 3", "'cat'", "'a.png'"]),
        ("image,label,value\na.png,cat,1\nb.png,,1\n", ["row 3", "without a label"]),
        ("image,label,value\n,cat,1\n", ["row 2", "no image name"]),
        ("image,label,value\nx.png,cat,1\n", ["row 2", "x.png"]),
        ("image,label,value,split\na.png,cat,1,train\na.png,dog,1,test\n", ["row 3", "'train'", "row 2"]),
    ],
)
def test_bad_long_csv(make_csv, refused, text, words):
    refused(words, load_data, str(make_csv(text)))


def test_a_long_csv_may_hold_no_label_yet(make_csv):
    assert load_data(str(make_csv("image,label,value\na.png,cat,\n"))).labels.tolist() == [[-1]]


def test_a_long_csv_without_values_lists_what_is_present(make_csv, refused):
    path = make_csv("image,label\na.png,cat\na.png,dog\nb.png,\n")
    check_both_readings(refused, path)
    a = {"a.png": {"cat": 1, "dog": 1}}
    assert read(path, unlisted="absent") == {**a, "b.png": {}}
    assert read(path, unlisted="absent", codes="=absent") == {**a, "b.png": {"cat": 0, "dog": 0}}


# list CSV


def test_a_list_csv_of_fastai(make_csv, refused):
    path = make_csv("fname,labels,is_valid\na.png,person,True\nb.png,horse person,False\nc.png,,False\n")
    assert detect_format(str(path)) == "list-csv"
    refused(["'horse person' may be 2 names or one", "--delimiter ' '", "--delimiter '|'"], load_data, str(path))
    assert read(path, delimiter=" ", unlisted="absent")["c.png"] == {}
    assert read(path, delimiter=" ", unlisted="absent", codes="=absent") == {
        "b.png": {"horse": 1, "person": 1},
        "c.png": {"horse": 0, "person": 0},
    }
    tested = load_data(str(path), purpose="test", options=DataOptions(delimiter=" ", unlisted="absent"))
    assert labels_of(tested) == {"a.png": {"person": 1, "horse": 0}}
    assert "no rows of split 'test': those of 'valid' are used" in tested.notes
    whole = load_data(str(path), options=DataOptions(split="train", delimiter="|", unlisted="unknown"))
    assert whole.class_names == ("horse person", "person")


def test_a_list_csv_says_what_is_absent_or_is_refused(make_csv, refused):
    path = make_csv("image,labels\na.png,traffic light|cat\nb.png,\n")
    check_both_readings(refused, path)
    assert read(path, unlisted="unknown") == {"a.png": {"traffic light": 1, "cat": 1}, "b.png": {}}
    path = make_csv("image,labels,negatives\na.png,traffic light;cat,dog\nb.png,,\n")
    assert read(path) == {"a.png": {"traffic light": 1, "cat": 1, "dog": 0}, "b.png": {}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,labels\na.png,cat|dog;hen\n", ["both | and ;", "--delimiter '|'", "--delimiter ';'"]),
        ("image,labels,negatives\na.png,cat,cat\n", ["row 2", "'cat'", "present and as absent"]),
        ("image,labels\na.png,cat\na.png,dog\n", ["row 3", "'a.png'", "row 2"]),
        ("image,labels,is_valid\na.png,cat,maybe\n", ["row 2", "'is_valid'", "'maybe'"]),
        ("image,labels\n", ["no image"]),
    ],
)
def test_bad_list_csv(make_csv, refused, text, words):
    refused(words, load_data, str(make_csv(text)), options=UNKNOWN)


def test_a_format_that_says_all_takes_no_reading_of_silence(make_csv, refused):
    refused(["--unlisted is for lists"], load_data, str(make_csv("image,cat\na.png,1\n")), options=UNKNOWN)


# text files


def test_text_files_beside_images(tmp_path, refused):
    for name in ("train/a.png", "train/b.png", "train/c.png", "val/d.png"):
        picture(tmp_path / name)
    (tmp_path / "train" / "a.txt").write_text("hot dog\ncat\n")
    (tmp_path / "train" / "b.txt").write_text("cat, old hen,\n")
    (tmp_path / "val" / "d.txt").write_text("")
    assert detect_format(str(tmp_path)) == "folder"
    check_both_readings(refused, tmp_path)
    assert read(tmp_path, unlisted="absent") == {
        "train/a.png": {"hot dog": 1, "cat": 1, "old hen": 0},
        "train/b.png": {"hot dog": 0, "cat": 1, "old hen": 1},
        "train/c.png": {},
    }
    assert list(load_parts(str(tmp_path), options=UNKNOWN)) == ["train", "val"]


def test_text_files_in_the_layout_of_yolo(tmp_path, refused):
    picture(tmp_path / "images" / "train" / "a.png")
    text = tmp_path / "labels" / "train" / "a.txt"
    text.parent.mkdir(parents=True)
    text.write_text("1 0.5 0.5 0.2 0.1\n1 0.1 0.1 0.2 0.2\n")
    refused(["line 1", "class 1 by number", "classes.txt"], load_data, str(tmp_path), options=ABSENT)
    (tmp_path / "classes.txt").write_text("cat\ndog, wild\n")
    assert read(tmp_path, unlisted="absent") == {"images/train/a.png": {"cat": 0, "dog, wild": 1}}
    text.write_text("2 0.5 0.5 0.2 0.1\n")
    refused(["line 1", "class 2 of 2", "count from 0"], load_data, str(tmp_path), options=ABSENT)
    text.write_text("hen\n")
    refused(["'hen' is none of the 2 classes"], load_data, str(tmp_path), options=ABSENT)


# Label Studio


def task(image: str, *annotations: list[str], **more) -> dict:
    results = [
        [{"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": names}}] if names else []
        for names in annotations
    ]
    return {"data": {"image": image}, "annotations": [{"result": r, "was_cancelled": False} for r in results]} | more


@pytest.fixture
def make_tasks(tmp_path):
    def make(tasks: list[dict]) -> Path:
        for name in ("a.png", "b c.png", "d.png"):
            picture(tmp_path / name)
        path = tmp_path / "tasks.json"
        path.write_text(json.dumps(tasks))
        return path

    return make


def test_label_studio_tasks(make_tasks, refused):
    path = make_tasks(
        [
            task("/data/local-files/?d=a.png", ["cat", "dog"]),
            task("/data/upload/3/0123abcd-b%20c.png", [], id=7),
            {"data": {"image": "http://example.org/media/d.png"}, "annotations": []},
        ]
    )
    assert detect_format(str(path)) == "label-studio"
    check_both_readings(refused, path)
    assert read(path, unlisted="absent") == {
        "a.png": {"cat": 1, "dog": 1},
        "b c.png": {"cat": 0, "dog": 0},
        "d.png": {},
    }


def test_annotations_that_disagree_leave_it_open(make_tasks):
    path = make_tasks([task("a.png", ["cat", "dog"], ["cat"]), task("d.png", ["dog"])])
    assert read(path, unlisted="absent") == {"a.png": {"cat": 1}, "d.png": {"dog": 1, "cat": 0}}
    assert read(path, unlisted="unknown") == {"a.png": {"cat": 1, "dog": 1}, "d.png": {"dog": 1}}
    notes = load_data(str(path), options=ABSENT).notes
    assert "1 labels on which annotations of a task disagree: unknown" in notes


def test_cancelled_annotations_and_predictions_are_no_labels(make_tasks, refused):
    cancelled = task("a.png", ["cat"])
    cancelled["annotations"][0]["was_cancelled"] = True
    path = make_tasks([cancelled, task("d.png", ["dog"])])
    assert read(path, unlisted="unknown") == {"a.png": {}, "d.png": {"dog": 1}}
    guess = {"data": {"image": "a.png"}, "predictions": [{"model_version": "7", "result": []}]}
    refused(["task 1", "predictions are no labels"], load_data, str(make_tasks([guess])), options=UNKNOWN)


def test_label_studio_minimal_json(make_tasks):
    tasks = [
        {"image": "/data/upload/3/0123abcd-a.png", "id": 1, "choice": {"choices": ["cat", "dog"]}, "annotation_id": 1},
        {"image": "d.png", "id": 2, "choice": "cat", "annotator": 1, "annotation_id": 2},
    ]
    assert read(make_tasks(tasks), unlisted="unknown") == {"a.png": {"cat": 1, "dog": 1}, "d.png": {"cat": 1}}


# FiftyOne


@pytest.mark.parametrize(
    ("classes", "targets"),
    [
        (["cat", "hot dog"], {"a": [0, 1], "b": [], "c": None}),
        (None, {"a": ["cat", "hot dog"], "b": [], "c": None}),
        (["cat", "hot dog"], {"a": [{"label": 0, "confidence": 0.5}, {"label": 1}], "b": [], "c": None}),
    ],
)
def test_fiftyone_labels(tmp_path, refused, classes, targets):
    for name in "abc":
        picture(tmp_path / "data" / f"{name}.png")
    (tmp_path / "labels.json").write_text(json.dumps({"classes": classes, "labels": targets}))
    assert detect_format(str(tmp_path)) == "fiftyone"
    check_both_readings(refused, tmp_path)
    assert read(tmp_path, unlisted="absent") == {
        "data/a.png": {"cat": 1, "hot dog": 1},
        "data/b.png": {"cat": 0, "hot dog": 0},
        "data/c.png": {},
    }


def test_fiftyone_samples(tmp_path):
    samples = []
    for name, labels, tag in (("a", ["cat", "dog"], "train"), ("b", None, "train"), ("c", [], "test")):
        picture(tmp_path / "data" / f"{name}.png")
        found = {
            "_cls": "Classifications",
            "classifications": [{"_cls": "Classification", "label": x} for x in labels or ()],
        }
        samples.append(
            {"filepath": f"data/{name}.png", "tags": [tag, "x"], "ground_truth": None if labels is None else found}
        )
    (tmp_path / "samples.json").write_text(json.dumps({"samples": samples}))
    assert read(tmp_path, unlisted="absent") == {"data/a.png": {"cat": 1, "dog": 1}, "data/b.png": {}}
    tested = load_data(str(tmp_path), purpose="test", options=ABSENT)
    assert labels_of(tested) == {"data/c.png": {"cat": 0, "dog": 0}}


def test_bad_fiftyone(tmp_path, refused):
    picture(tmp_path / "data" / "a.png")
    for classes, target, word in ((["cat"], [1], "class 1 of 1"), (["cat"], [0.5], "neither a name nor")):
        (tmp_path / "labels.json").write_text(json.dumps({"classes": classes, "labels": {"a": target}}))
        refused([word, "image 'a'"], load_data, str(tmp_path), options=UNKNOWN)


# Hugging Face


def test_an_imagefolder(tmp_path, refused):
    for split, name in (("train", "a"), ("train", "b"), ("test", "c")):
        picture(tmp_path / split / f"{name}.png")
    (tmp_path / "train" / "metadata.jsonl").write_text(
        '{"file_name": "a.png", "labels": ["cat", "hot_dog"]}\n{"file_name": "b.png", "labels": null}\n'
    )
    (tmp_path / "test" / "metadata.jsonl").write_text('{"file_name": "c.png", "labels": []}\n')
    assert detect_format(str(tmp_path)) == "huggingface"
    check_both_readings(refused, tmp_path)
    assert read(tmp_path, unlisted="absent") == {"train/a.png": {"cat": 1, "hot dog": 1}, "train/b.png": {}}
    assert list(load_parts(str(tmp_path), options=ABSENT)) == ["test", "train"]


def test_an_imagefolder_with_a_column_per_class(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,cat,dog,hen,text\na.png,1,0,,something\n")
    assert read(tmp_path) == {"a.png": {"cat": 1, "dog": 0}}


@pytest.mark.parametrize("written", ['["it\'s", "cat"]', "['it\\'s', 'cat']", "[\"it's\", 'cat']"])
def test_lists_in_a_cell_as_json_and_as_python_write_them(tmp_path, written):
    picture(tmp_path / "a.png")
    cell = written.replace('"', '""')
    (tmp_path / "metadata.csv").write_text(f'file_name,labels\na.png,"{cell}"\n')
    assert read(tmp_path, unlisted="absent") == {"a.png": {"it's": 1, "cat": 1}}


def image_bytes(tmp_path: Path) -> bytes:
    picture(tmp_path / "x.png")
    return (tmp_path / "x.png").read_bytes()


@pytest.mark.parametrize("wrapped", ["Sequence", "List", "plain", None])
def test_parquet_with_images_inside(tmp_path, refused, wrapped):
    names = ["hen", "cat", "hot_dog"]
    label = {"names": names, "_type": "ClassLabel"}
    feature = [label] if wrapped == "plain" else {"feature": label, "_type": wrapped}
    metadata = {"info": {"features": {"image": {"_type": "Image"}, "labels": feature}}}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    image = {"bytes": image_bytes(tmp_path), "path": None}
    schema = pa.schema(
        [("image", kind), ("labels", pa.list_(pa.int64() if wrapped else pa.string()))],
        {b"huggingface": json.dumps(metadata).encode()} if wrapped else None,
    )
    listed = [[1, 2], [], None] if wrapped else [["cat", "hot_dog"], [], None]
    rows = [{"image": image, "labels": one} for one in listed]
    folder = tmp_path / "set" / "data"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "train-00000-of-00001.parquet", row_group_size=2)
    check_both_readings(refused, tmp_path / "set")
    data = load_data(str(tmp_path / "set"), options=ABSENT)
    assert set(data.class_names) == {"cat", "hot dog", *(["hen"] if wrapped else [])}
    assert [{n: c for n, c in row.items() if n != "hen"} for row in labels_of(data).values()] == [
        {"cat": 1, "hot dog": 1},
        {"cat": 0, "hot dog": 0},
        {},
    ]
    third = pickle.loads(pickle.dumps(data.images[2]))
    assert third.open().getpixel((0, 0)) == (255, 0, 0)
    assert len({image.fingerprint() for image in data.images}) == 3
    assert len({image.fingerprint(content=True) for image in data.images}) == 1


def test_parquet_that_is_no_data_set(tmp_path, refused):
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 not really")
    refused(["x.parquet", "not a Parquet file"], load_data, str(path))
    pq.write_table(pa.table({"text": ["a"]}), path)
    refused(["x.parquet", "no column of images"], load_data, str(path))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array([{"bytes": b"no image", "path": "a"}, None], kind), "cat": [1, 0]})
    pq.write_table(table, path)
    data = load_data(str(path))
    np.testing.assert_array_equal(data.labels, [[1], [0]])
    for image in data.images:
        with pytest.raises(UnreadableImage, match=r"x\.parquet, row"):
            image.open()


# COCO as LVIS


def test_negative_categories_leave_the_rest_unknown(make_coco, refused):
    root = make_coco([(7, 3, 0), (30, 18, 0)])
    path = root / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    for image in content["images"]:
        image["neg_category_ids"] = [18] if image["id"] == 7 else [3] if image["id"] == 100 else []
    path.write_text(json.dumps(content))
    assert list(read(root).values()) == [{"cat": 1, "hot dog": 0}, {"hot dog": 1}, {"cat": 0}]
    content["images"][1]["neg_category_ids"] = [3]
    path.write_text(json.dumps(content))
    refused(["neg_category_ids"], load_data, str(root))


# Files of another shape


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["a.png", "cat", "", "choices"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "data",
                    "image",
                    "annotations",
                    "result",
                    "type",
                    "value",
                    "choices",
                    "from_name",
                    "predictions",
                    "classes",
                    "labels",
                    "samples",
                    "filepath",
                    "ground_truth",
                    "_cls",
                    "classifications",
                    "label",
                    "tags",
                    "file_name",
                    "negatives",
                    "was_cancelled",
                    "model_version",
                    "split",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("format", ["label-studio", "fiftyone", "huggingface"])
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=json_values)
def test_json_of_any_shape_is_read_or_refused_in_one_line(tmp_path, format, content):  # noqa: A002
    path = tmp_path / ("metadata.jsonl" if format == "huggingface" else "x.json")
    wrapped = {
        "label-studio": [{"data": {"image": "a.png"}}, content],
        "fiftyone": {"classes": None, "labels": content},
    }
    options = DataOptions(unlisted="unknown", skip_unreadable=True)
    for one in (content, wrapped.get(format, {"file_name": "a.png", "labels": content})):
        path.write_text(json.dumps(one))
        try:
            load_parts(str(path), replace(options, format=format))
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most are refused, some are read


def test_a_folder_with_a_table_in_it_says_which(tmp_path, refused):
    (tmp_path / "labels.csv").write_text("image,cat\n")
    refused(["name the file", "labels.csv"], load_data, str(tmp_path))


@pytest.mark.parametrize(
    "task",
    [
        {"data": {"image": "a.png"}, "annotations": [{"result": [5]}]},
        {"data": {"image": "a.png"}, "annotations": [{"result": [{"type": "choices", "value": None}]}]},
        {"data": {"image": "a.png"}, "annotations": 7},
        {"data": {"image": "a.png"}, "annotations": [{"result": [{"value": {"choices": [1]}}]}]},
        {"data": {"image": 7}, "annotations": [{"result": []}]},
        {"data": [], "annotations": [{"result": []}]},
    ],
)
def test_tasks_of_another_shape_are_refused(make_tasks, refused, task):
    refused(["tasks.json"], load_data, str(make_tasks([task])), options=UNKNOWN)


@pytest.mark.parametrize(
    "cell", ['[["Abies", 0.9], ["Picea", 0.1]]', "[0.5, 0.25]", '["dog", null]', "[dog, cat]", '[{"a": 1}]']
)
def test_brackets_that_are_no_list_of_names_are_refused(tmp_path: Path, refused, cell: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([{"image": "a.png", "labels": cell}]))
    picture(tmp_path / "a.png")
    refused(["row 1", "cannot read the list"], load_data, str(path), options=ABSENT)


def test_a_name_in_brackets_is_a_name(make_csv) -> None:
    assert read(make_csv("image,labels\na.png,[other]\n"), unlisted="unknown") == {"a.png": {"[other]": 1}}
