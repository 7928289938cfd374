import csv
import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptmlr.data import DataOptions, load_data
from promptmlr.labels import UNKNOWN


def test_cells_paths_and_order(make_csv):
    path = make_csv("image,wet_dog,cat\nb.png,1,0\na.png,,1\nc.png,nan,0\n")
    data = load_data(str(path))
    assert data.image_ids == ("a.png", "b.png", "c.png")
    assert data.class_names == ("wet dog", "cat")
    np.testing.assert_array_equal(data.labels, [[-1, 1], [1, 0], [-1, 0]])
    np.testing.assert_array_equal(data.annotation_order, [1, 0, 2])
    assert [image.open().size for image in data.images] == [(2, 2)] * 3
    assert data.notes[0] == "3 images, 2 classes; 2 labels present, 2 absent, 2 unknown"


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        *[(text, 1) for text in ("1", "1.0", "y", "Y", "yes", "true", "TRUE", " 1 ")],
        *[(text, 0) for text in ("0", "0.0", "n", "No", "N", "false", "False")],
        *[(text, -1) for text in ("", " ", "nan", "NaN")],
    ],
)
def test_what_a_cell_means(make_csv, cell, label):
    data = load_data(str(make_csv(f"image,cat,dog\na.png,{cell},1\n")))
    assert data.labels[0, 0] == label


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters(make_csv, delimiter):
    rows = [["image", '"dog, wet"', "cat"], ["a.png", "1", ""], ["b.png", "", "0"]]
    path = make_csv("".join(delimiter.join(row) + "\n" for row in rows))
    data = load_data(str(path))
    assert (data.class_names, data.labels.tolist()) == (("dog, wet", "cat"), [[1, -1], [-1, 0]])


def test_the_first_delimiter_of_the_header_counts(make_csv):
    data = load_data(str(make_csv("image,cat;dog\na.png,1\n")))
    assert data.class_names == ("cat;dog",)


@pytest.mark.parametrize("cell", ["-1", "2", "maybe", "1.5", "NA", "unknown"])
def test_any_other_cell_is_refused_with_row_and_column(make_csv, refused, cell):
    path = make_csv(f"image,cat,hot_dog\na.png,1,1\n\nb.png,0,{cell}\n")
    message = refused(["labels.csv, row 4", "'hot dog'", repr(cell)], load_data, str(path))
    assert ("-1 means absent to some" in message) == (cell == "-1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty"]),
        (" \n\n", ["is empty"]),
        ("image,cat\n", ["header without rows"]),
        ("picture,cat\na.png,1\n", ["no column of images", "--image-column picture"]),
        ("picture,cat\na,1\n", ["no column of images", "--image-column", "picture, cat"]),
        ('image,"hot\ndog"\na.png,1\n', ["class 1 of 1", r"'hot\ndog'"]),
        (",,\n,,\n", ["is empty"]),
        ("image;cat\na.png,1\n", ["row 2", "1 cells", "header has 2"]),
        ("image\na.png\n", ["no class"]),
        ("image,split\na.png,train\n", ["no class"]),
        ("image,image,cat\na.png,b.png,1\n", ["2 columns are named 'image'"]),
        ("image,cat,\na.png,1,0\n", ["class 2 of 2", "empty name"]),
        ("image,_\na.png,1\n", ["empty name"]),
        ("image,cat,cat\na.png,1,0\n", ["duplicate class name 'cat'"]),
        ("image,hot dog,hot_dog\na.png,1,0\n", ["duplicate", "'hot dog'", "'hot_dog'"]),
        ("image,cat,dog\na.png,1,0\n\nb.png,1\n", ["row 4", "2 cells", "header has 3"]),
        ("image,cat\na.png,1\nb.png,1,0\n", ["row 3", "3 cells", "header has 2"]),
        ("image,cat\na.png,1\n,1\n", ["row 3", "no image name"]),
        ("image,cat\na.png,1\nb.png,1\na.png,0\n", ["row 4", "'a.png'", "row 2"]),
        ("image,cat\na.png,1\n./a.png,0\n", ["row 3", "'./a.png'", "row 2"]),
        ('image,cat\na.png,1\n"b.png,0\nc.png,1\n', ["row 3", "quotes"]),
        ("image,cat\na.png,1\nx.png,1\nb.png,0\ny.png,1\n", ["row 3", "x.png", "2 of 4"]),
        (f"image,cat\na.png,1\n{'x' * 5000},1\n", ["row 3", "1 of 2"]),
        ("image,split,cat\na.png,dev,1\n", ["'train'", "'dev'", "--split"]),
        ("image,split,cat\na.png,train1,1\nb.png,train2,1\n", ["'train'", "'train1', 'train2'", "--split"]),
        ("image,split,cat\na.png,trained,1\n", ["'train'", "'trained'", "--split"]),
        ("image,cat\na.png,\0\n", ["binary"]),
    ],
)
def test_bad_files_are_refused(make_csv, refused, text, words):
    refused(["labels.csv", *words], load_data, str(make_csv(text)))


def test_an_image_by_its_relative_and_by_its_absolute_path_is_one(make_csv, tmp_path, refused):
    path = make_csv(f"image,split,cat\na.png,train,1\n{tmp_path}/a.png,test,0\n")
    refused(["labels.csv, row 3", "row 2"], load_data, str(path))
    (tmp_path / "a.png").rename(tmp_path / "x.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "x.png").rename(tmp_path / "elsewhere" / "a.png")
    path = make_csv(f"image,cat\na.png,1\n{tmp_path}/a.png,0\n")
    assert len(load_data(str(path), options=DataOptions(images=tmp_path / "elsewhere")).images) == 2


@pytest.mark.parametrize("purpose", ["train", "test"])
def test_a_table_without_labels_is_where_everybody_begins(make_csv, purpose):
    data = load_data(str(make_csv("image,cat\na.png,\nb.png,nan\n")), purpose=purpose)
    assert data.labels.tolist() == [[UNKNOWN], [UNKNOWN]]
    assert "0 labels present, 0 absent, 2 unknown" in data.notes[0]


def test_a_missing_file_and_a_folder_are_refused(tmp_path, refused):
    refused(["labels.csv", "no such file"], load_data, str(tmp_path / "labels.csv"))
    (tmp_path / "folder.csv").mkdir()
    refused(["folder.csv", "no data set"], load_data, str(tmp_path / "folder.csv"))


def test_a_binary_file_is_refused(tmp_path, refused):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    refused(["labels.csv", "UTF-8"], load_data, str(path))
    path.write_bytes(b"image,cat\na.png,\x00\n")
    refused(["labels.csv", "binary"], load_data, str(path))


def test_excel_writes_a_byte_order_mark_line_ends_quotes_and_blank_rows(make_csv):
    text = 'image,"cat, wild", dog\r\n"a.png",1,0\r\n,,\r\nb.png,0,1\r\n'
    data = load_data(str(make_csv(text, "utf-8-sig")))
    assert data.class_names == ("cat, wild", "dog")
    np.testing.assert_array_equal(data.labels, [[1, 0], [0, 1]])


def test_unicode_class_names_stay_as_written(make_csv):
    assert load_data(str(make_csv("image,Größe,猫\na.png,1,0\n"))).class_names == ("Größe", "猫")


def test_images_are_found_in_another_folder(make_csv, tmp_path, refused):
    path = make_csv("image,cat\nphoto.png,1\n")
    (tmp_path / "elsewhere").mkdir()
    refused(["row 2", "photo.png"], load_data, str(path))
    (tmp_path / "a.png").rename(tmp_path / "elsewhere" / "photo.png")
    assert load_data(str(path), options=DataOptions(images=tmp_path / "elsewhere")).images[0].open().mode == "RGB"


SPLIT = "image,split,cat\na.png,train,1\nb.png,val,0\nc.png,test,1\n"


@pytest.mark.parametrize(
    ("text", "split", "purpose", "image"),
    [
        (SPLIT, None, "train", "a.png"),
        (SPLIT, None, "test", "c.png"),
        (SPLIT, "val", "train", "b.png"),
        (SPLIT.replace("c.png,test,1\n", ""), None, "test", "b.png"),
        (SPLIT.replace("train", "Train2017"), None, "train", "a.png"),
        (SPLIT.replace("test", "x").replace("val", "val-new"), None, "test", "b.png"),
    ],
)
def test_the_purpose_chooses_the_split(make_csv, text, split, purpose, image):
    data = load_data(str(make_csv(text)), purpose, DataOptions(split=split))
    assert data.image_ids == (image,)
    assert data.labels.tolist() == [[{"a.png": 1, "b.png": 0, "c.png": 1}[image]]]


def test_notes_say_what_was_chosen(make_csv):
    data = load_data(str(make_csv(SPLIT.replace("c.png,test,1\n", ""))), purpose="test")
    assert "no rows of split 'test': those of 'val' are used" in data.notes
    assert "1 rows of other splits are not used" in data.notes
    assert data.source.endswith("labels.csv, split val")
    assert "no column 'split': all 1 rows are used" in load_data(str(make_csv("image,cat\na.png,1\n"))).notes


def test_a_split_is_refused_where_there_is_none(make_csv, refused):
    val = DataOptions(split="val")
    refused(["no column 'split'", "'val'"], load_data, str(make_csv("image,cat\na.png,1\n")), "train", val)


def test_missing_images_of_other_splits_do_not_matter(make_csv):
    text = "image,split,cat\na.png,train,1\nmissing.png,test,1\n"
    assert load_data(str(make_csv(text))).image_ids == ("a.png",)


def test_an_image_in_two_splits_is_refused(make_csv, refused):
    refused(["row 3", "row 2"], load_data, str(make_csv("image,split,cat\na.png,train,1\na.png,test,1\n")))


def test_unknown_labels_alone_may_be_tested_on_but_not_trained(make_csv):
    assert (load_data(str(make_csv("image,cat\na.png,\n")), purpose="test").labels == -1).all()


NAMES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="_\0", exclude_categories=["Cc", "Cs"]), min_size=1)
    .map(str.strip)
    .filter(lambda name: name not in ("", "image", "split")),
    min_size=1,
    max_size=5,
    unique=True,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(NAMES, st.data())
def test_what_the_csv_module_writes_is_read_back(make_csv, names, data):
    cells = data.draw(st.lists(st.lists(st.sampled_from(["1", "0", ""]), min_size=len(names), max_size=len(names)),
                               min_size=3, max_size=3).filter(lambda rows: any(map(any, rows))))  # fmt: skip
    file = io.StringIO(newline="")
    csv.writer(file).writerows([["image", *names], *(["abc"[i] + ".png", *row] for i, row in enumerate(cells))])
    loaded = load_data(str(make_csv(file.getvalue())))
    assert loaded.class_names == tuple(names)
    codes = {"1": 1, "0": 0, "": -1}
    np.testing.assert_array_equal(loaded.labels, [[codes[cell] for cell in row] for row in cells])
