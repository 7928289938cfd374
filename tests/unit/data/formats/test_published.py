"""Published data sets in their own layouts: CelebA, VOC's class files, NUS-WIDE and Visual Genome."""

import json
from pathlib import Path

import numpy as np
import pytest

from promptmlr.data import DataOptions, detect_format, load_data, load_parts
from support import write_image

ABSENT = DataOptions(unlisted="absent")
UNKNOWN = DataOptions(unlisted="unknown")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def celeba(tmp_path: Path) -> Path:
    for name in ("000001.jpg", "000002.jpg", "000003.jpg"):
        write_image(tmp_path / "Img/img_align_celeba" / name)
    write(tmp_path / "Eval/list_eval_partition.txt", "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n")
    rows = "000001.jpg -1  1\n000002.jpg  1  1\n000003.jpg -1 -1\n"
    return write(tmp_path / "Anno/list_attr_celeba.txt", f"3\n5_o_Clock_Shadow Bald \n{rows}")


def test_celeba_knows_every_attribute_of_every_image(celeba: Path) -> None:
    assert detect_format(str(celeba)) == "celeba"
    parts = load_parts(str(celeba))
    assert list(parts) == ["train", "valid", "test"]
    assert parts["train"].class_names == ("5 o Clock Shadow", "Bald")
    np.testing.assert_array_equal(np.concatenate([part.labels for part in parts.values()]), [[0, 1], [1, 1], [0, 0]])
    assert all(image.exists() for part in parts.values() for image in part.images)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3\nBald Blurry\n000001.jpg 1\n", ["line 3", "1 values for 2"]),
        ("3\nBald Blurry\n000001.jpg 1 0\n", ["line 3", "'Blurry'", "'0'"]),
        ("3\nBald\n000001.jpg 1\n000001.jpg 1\n", ["line 4", "line 3"]),
        ("3\nBald\n", ["no image"]),
        ("Bald\n", ["not as CelebA writes it"]),
        ("", ["not as CelebA writes it"]),
        ("3\nBald\n000001.jpg 1\n", ["counts 3 images", "lists 1"]),
        ("1\nBald\n000009.jpg 1\n", ["list_eval_partition.txt", "000009.jpg"]),
    ],
)
def test_a_damaged_celeba_file_is_refused(celeba: Path, refused, text: str, words: list[str]) -> None:
    celeba.write_text(text)
    refused(words, load_data, str(celeba), options=DataOptions(format="celeba"))


@pytest.fixture
def voc_lists(tmp_path: Path) -> Path:
    main = tmp_path / "ImageSets/Main"
    for name in ("000005", "000007", "000009"):
        write_image(tmp_path / "JPEGImages" / f"{name}.jpg")
    write(main / "dog_trainval.txt", "000005 -1\n000007  0\n")
    write(main / "potted_plant_trainval.txt", "000005  1\n000007 -1\n")
    write(main / "dog_test.txt", "000009  1\n")
    write(main / "potted_plant_test.txt", "000009 -1\n")
    write(main / "trainval.txt", "000005\n000007\n")
    return tmp_path


def test_vocs_class_files_are_read_without_annotations(voc_lists: Path) -> None:
    assert detect_format(str(voc_lists)) == detect_format(str(voc_lists / "ImageSets/Main")) == "voc-lists"
    data = load_data(str(voc_lists))
    assert data.class_names == ("dog", "potted plant")
    np.testing.assert_array_equal(data.labels, [[0, 1], [0, 0]])
    np.testing.assert_array_equal(
        load_data(str(voc_lists), options=DataOptions(difficult="unknown")).labels[1], [-1, 0]
    )
    np.testing.assert_array_equal(load_data(str(voc_lists), "test").labels, [[1, 0]])
    assert sorted(load_parts(str(voc_lists))) == ["test", "trainval"]
    assert all(image.exists() for image in data.images)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("000005 -1\n000007 2\n", ["dog_trainval.txt, line 2", "'000007 2'"]),
        ("000005\n000007 1\n", ["dog_trainval.txt, line 1"]),
        ("000005 -1\n000005 1\n", ["line 2", "already"]),
        ("000005 -1\n", ["lists other images", "dog_trainval.txt"]),
    ],
)
def test_a_damaged_class_file_is_refused(voc_lists: Path, refused, text: str, words: list[str]) -> None:
    write(voc_lists / "ImageSets/Main/dog_trainval.txt", text)
    refused(words, load_data, str(voc_lists))


def test_a_split_without_class_files_is_refused(voc_lists: Path, refused) -> None:
    refused(["'tset'", "test"], load_data, str(voc_lists), "test", DataOptions(split="tset"))


@pytest.fixture
def nus_wide(tmp_path: Path) -> Path:
    for name in ("actor/0001_1.jpg", "actor/0002_2.jpg", "zebra/0003_3.jpg"):
        write_image(tmp_path / "images" / name)
    write(tmp_path / "ImageList/Imagelist.txt", "actor\\0001_1.jpg\nactor\\0002_2.jpg\nzebra\\0003_3.jpg\n")
    write(tmp_path / "Groundtruth/AllLabels/Labels_airport.txt", "0\n1\n0\n")
    write(tmp_path / "Groundtruth/AllLabels/Labels_zebra.txt", "0\n0\n1\n")
    return tmp_path


def with_splits(root: Path) -> None:
    for word, listed, labels in (
        ("Train", "actor\\0001_1.jpg\nzebra\\0003_3.jpg\n", ("0\n0\n", "0\n1\n")),
        ("Test", "actor\\0002_2.jpg\n", ("1\n", "0\n")),
    ):
        write(root / f"ImageList/{word}Imagelist.txt", listed)
        for name, column in zip(("airport", "zebra"), labels, strict=True):
            write(root / f"Groundtruth/TrainTestLabels/Labels_{name}_{word}.txt", column)


def test_nus_wide_asks_what_a_zero_means(nus_wide: Path, refused) -> None:
    assert detect_format(str(nus_wide)) == "nus-wide"
    refused(["--unlisted absent", "--unlisted unknown"], load_data, str(nus_wide))
    np.testing.assert_array_equal(load_data(str(nus_wide), options=ABSENT).labels, [[0, 0], [1, 0], [0, 1]])
    data = load_data(str(nus_wide), options=UNKNOWN)
    np.testing.assert_array_equal(data.labels, [[-1, -1], [1, -1], [-1, 1]])
    assert data.class_names == ("airport", "zebra")
    assert all(image.exists() for image in data.images)


def test_nus_wide_has_splits_of_its_own(nus_wide: Path, refused) -> None:
    with_splits(nus_wide)
    np.testing.assert_array_equal(load_data(str(nus_wide), options=ABSENT).labels, [[0, 0], [0, 1]])
    assert list(load_parts(str(nus_wide), ABSENT)) == ["train", "test"]
    refused(["no split 'val'"], load_data, str(nus_wide), "test", DataOptions(unlisted="absent", split="val"))


@pytest.mark.parametrize(
    ("text", "words"), [("0\n1\n", ["2 lines for 3 images"]), ("0\n2\n0\n", ["line 2", "'2'"]), ("", ["0 lines"])]
)
def test_a_damaged_concept_of_nus_wide_is_refused(nus_wide: Path, refused, text: str, words: list[str]) -> None:
    write(nus_wide / "Groundtruth/AllLabels/Labels_zebra.txt", text)
    refused(["Labels_zebra.txt", *words], load_data, str(nus_wide), options=ABSENT)


@pytest.fixture
def visual_genome(tmp_path: Path) -> Path:
    for number in (1, 2):
        write_image(tmp_path / "VG_100K" / f"{number}.jpg")
    objects = [
        {"image_id": 1, "objects": [{"names": ["Tree"], "x": 1}, {"names": ["tree", "bush"], "x": 2}]},
        {"image_id": 2, "objects": []},
    ]
    return write(tmp_path / "objects.json", json.dumps(objects))


def test_visual_genome_names_what_people_described(visual_genome: Path, refused) -> None:
    assert detect_format(str(visual_genome)) == "visual-genome"
    refused(["--unlisted"], load_data, str(visual_genome))
    data = load_data(str(visual_genome), options=UNKNOWN)
    assert data.class_names == ("bush", "tree")
    np.testing.assert_array_equal(data.labels, [[1, 1], [-1, -1]])
    assert all(image.exists() for image in data.images)


def test_visual_genomes_attributes_are_classes_of_their_own(visual_genome: Path) -> None:
    attributes = [
        {"image_id": 1, "attributes": [{"names": ["tree"], "attributes": ["green", "tall"]}, {"names": ["x"]}]}
    ]
    path = write(visual_genome.parent / "attributes.json", json.dumps(attributes))
    assert load_data(str(path), options=ABSENT).class_names == ("green", "tall")


@pytest.mark.parametrize("content", ['[{"image_id": 1}]', '[{"image_id": 1, "objects": [{}]}]', "[1]", "{}", "["])
def test_a_damaged_visual_genome_file_is_refused(visual_genome: Path, refused, content: str) -> None:
    visual_genome.write_text(content)
    refused(
        ["objects.json"], load_data, str(visual_genome), options=DataOptions(format="visual-genome", unlisted="absent")
    )


def test_each_layout_is_recognised_as_itself_alone(
    celeba: Path, voc_lists: Path, nus_wide: Path, visual_genome: Path
) -> None:
    from promptmlr.data.formats import FORMATS
    from promptmlr.data.formats.base import Source

    for path in (celeba, voc_lists / "ImageSets/Main", visual_genome):
        assert len([one for one in FORMATS.values() if not one.weak and one.recognises(Source(str(path)))]) == 1


@pytest.fixture
def nus_wide_csv(tmp_path: Path) -> Path:
    """Three columns by place, whatever they are called."""
    for name in ("0_1_m.jpg", "0_2_m.jpg", "0_3_m.jpg"):
        write_image(tmp_path / "images" / name)
    return write(
        tmp_path / "nus_wid_data.csv",
        "filepath,label,split_name\nimages/0_1_m.jpg,\"['clouds', 'sky']\",train\nimages/0_2_m.jpg,['sky'],train\n"
        "images/0_3_m.jpg,\"['person', 'clouds']\",val\n",
    )


def test_nus_wide_as_one_table(nus_wide_csv: Path, refused) -> None:
    assert detect_format(str(nus_wide_csv)) == "nus-wide-csv"
    refused(["--unlisted absent", "--unlisted unknown"], load_data, str(nus_wide_csv))
    train = load_data(str(nus_wide_csv), options=ABSENT)
    assert train.class_names == ("clouds", "person", "sky")
    np.testing.assert_array_equal(train.labels, [[1, 0, 1], [0, 0, 1]])
    np.testing.assert_array_equal(load_data(str(nus_wide_csv), "test", UNKNOWN).labels, [[1, 1, -1]])
    assert all(image.exists() for image in train.images)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\na.jpg,['sky']\n", ["2 columns"]),
        ("path,label,split\na.jpg,['sky'],dev\n", ["row 2", "'dev' is neither train nor val"]),
        ("path,label,split\na.jpg,sky,train\n", ["row 2", "'sky' is no list"]),
        ("path,label,split\na.jpg,[1],train\n", ["row 2", "'[1]' is no list"]),
    ],
)
def test_another_table_is_not_nus_wides(nus_wide_csv: Path, refused, text: str, words: list[str]) -> None:
    nus_wide_csv.write_text(text)
    options = DataOptions(format="nus-wide-csv", unlisted="absent")
    refused(["nus_wid_data.csv", *words], load_data, str(nus_wide_csv), options=options)


VG = DataOptions(unlisted="absent", classes=",".join(f"class {number}" for number in range(200)))


@pytest.fixture
def vg_lists(tmp_path: Path) -> Path:
    for folder, number in (("VG_100K", 1), ("VG_100K", 2), ("VG_100K_2", 3)):
        write_image(tmp_path / folder / f"{number}.jpg")
    write(tmp_path / "train_list_500.txt", "2.jpg\n1.jpg\n")
    write(tmp_path / "test_list_500.txt", "3.jpg\n")
    write(
        tmp_path / "vg_category_200_labels_index.json",
        json.dumps({"1.jpg": [0, 199], "2.jpg": [], "3.jpg": [7], "4.jpg": [1]}),
    )
    return tmp_path


def test_visual_genomes_lists_number_their_categories(vg_lists: Path, refused) -> None:
    assert detect_format(str(vg_lists)) == "visual-genome-lists"
    refused(["numbers its 200 categories", "--classes NAMES.txt"], load_data, str(vg_lists), options=ABSENT)
    train = load_data(str(vg_lists), options=VG)
    assert train.image_ids == ("1.jpg", "2.jpg")
    assert [np.flatnonzero(row).tolist() for row in train.labels] == [[0, 199], []]
    assert train.class_names[199] == "class 199"
    test = load_data(str(vg_lists), "test", VG)
    assert np.flatnonzero(test.labels[0]).tolist() == [7]
    assert test.images[0].exists()
    assert list(load_parts(str(vg_lists), VG)) == ["train", "test"]


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("train_list_500.txt", "5.jpg\n", ["train_list_500.txt, line 1", "no list of categories for '5.jpg'"]),
        (
            "vg_category_200_labels_index.json",
            '{"1.jpg": [200], "2.jpg": []}',
            ["'1.jpg'", "200 is no number from 0 to 199"],
        ),
        ("vg_category_200_labels_index.json", '{"1.jpg": ["dog"], "2.jpg": []}', ["'dog' is no number"]),
        ("vg_category_200_labels_index.json", "[]", ["no list of categories for '2.jpg'"]),
        ("vg_category_200_labels_index.json", "[1]", ["not as SSGRL writes it"]),
    ],
)
def test_damaged_lists_of_visual_genome_are_refused(vg_lists: Path, refused, file: str, text: str, words) -> None:
    (vg_lists / file).write_text(text)
    refused(words, load_data, str(vg_lists), options=VG)


def test_names_for_other_categories_are_refused(vg_lists: Path, refused) -> None:
    options = DataOptions(unlisted="absent", classes="dog,cat")
    refused(["--classes: 2 names for the 200 categories"], load_data, str(vg_lists), options=options)
    (vg_lists / "train_list_500.txt").unlink()
    refused(["no list train_list_500.txt", "test"], load_data, str(vg_lists), options=VG)
