"""What annotation tools export: CVAT, Datumaro, Ultralytics' YOLO, and taggers in Danbooru's style."""

import json
from pathlib import Path

import pytest
import yaml

from promptmlr.data import DataOptions, detect_format, load_data, load_parts
from support import write_image

ABSENT = DataOptions(unlisted="absent")
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><name>t</name><labels>
    <label><name>dog</name></label><label><name>hot dog</name></label><label><name>night</name></label>
  </labels></task></meta>
  <image id="0" name="deep/a.jpg" subset="Train" width="2" height="2">
    <tag label="night" source="manual"><attribute name="sure">yes</attribute></tag>
    <box label="dog" xtl="0" ytl="0" xbr="1" ybr="1"/>
  </image>
  <image id="1" name="b.jpg" subset="Test" width="2" height="2">
    <polygon label="hot dog" points="0,0;1,1;0,1"/>
  </image>
</annotations>
"""


def labels_of(path: Path, options: DataOptions = ABSENT) -> dict[str, set[str]]:
    """Image → the classes that are present."""
    data = list(load_parts(str(path), options).values())
    assert all(image.exists() for part in data for image in part.images)
    return {
        image_id: {name for name, code in zip(part.class_names, row, strict=True) if code == 1}
        for part in data
        for image_id, row in zip(part.image_ids, part.labels, strict=True)
    }


@pytest.fixture
def cvat(tmp_path: Path) -> Path:
    for name in ("images/Train/deep/a.jpg", "images/Test/b.jpg"):
        write_image(tmp_path / name)
    path = tmp_path / "annotations.xml"
    path.write_text(CVAT)
    return path


def test_cvats_tags_and_shapes_say_what_is_present(cvat: Path, refused) -> None:
    assert detect_format(str(cvat)) == "cvat"
    refused(["--unlisted unknown"], load_data, str(cvat))
    assert labels_of(cvat) == {"deep/a.jpg": {"night", "dog"}, "b.jpg": {"hot dog"}}
    assert list(load_parts(str(cvat), ABSENT)) == ["Train", "Test"]
    assert load_data(str(cvat), options=DataOptions(unlisted="unknown", split="Test")).class_names == (
        "dog",
        "hot dog",
        "night",
    )


BOMB = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 20}">' for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CVAT.replace('label="dog"', 'label="cat"'), ["'cat'", "a.jpg"]),
        (CVAT.replace("<image", "<track").replace("</image", "</track"), ["video", "CVAT for images 1.1"]),
        (CVAT[:-20], ["damaged XML"]),
        (CVAT.replace("annotations>", "dataset>"), ["'dataset'"]),
        ("", ["damaged XML"]),
        ("<annotations/>", ["no image"]),
        (CVAT.replace('name="b.jpg"', 'name="deep/a.jpg"'), ["already"]),
        (BOMB + "]><annotations><image name='&j;'/></annotations>", ["damaged XML"]),
        (
            '<!DOCTYPE x [<!ENTITY a SYSTEM "/etc/passwd">]><annotations><image name="&a;"/></annotations>',
            ["damaged XML"],
        ),
    ],
)
def test_a_cvat_file_of_another_form_is_refused(cvat: Path, refused, text: str, words: list[str]) -> None:
    cvat.write_text(text)
    refused([cvat.name, *words], load_data, str(cvat), options=DataOptions(format="cvat", unlisted="absent"))


@pytest.fixture
def datumaro(tmp_path: Path) -> Path:
    for name in ("images/train/a.jpg", "images/val/b.png"):
        write_image(tmp_path / name)
    for subset, item, path, numbers in (("train", "a", "a.jpg", [1, 1, 0]), ("val", "b", "b.png", [])):
        content = {
            "info": {},
            "categories": {"label": {"labels": [{"name": "cat", "parent": ""}, {"name": "dog", "parent": ""}]}},
            "items": [
                {
                    "id": item,
                    "annotations": [{"id": 0, "type": "label", "label_id": number} for number in numbers]
                    + [{"id": 1, "type": "caption", "caption": "no label"}],
                    "image": {"path": path},
                }
            ],
        }
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / f"{subset}.json").write_text(json.dumps(content))
    return tmp_path


def test_datumaros_annotations_say_what_is_present(datumaro: Path, refused) -> None:
    assert detect_format(str(datumaro)) == detect_format(str(datumaro / "annotations/val.json")) == "datumaro"
    refused(["--unlisted"], load_data, str(datumaro))
    assert labels_of(datumaro) == {"a": {"cat", "dog"}, "b": set()}
    assert labels_of(datumaro / "annotations/train.json") == {"a": {"cat", "dog"}}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"label_id": 1', '"label_id": 2', ["item 'a'", "label 2 of 2"]),
        ('"items"', '"things"', ["'items'"]),
        ('"cat"', '"cow"', ["val.json", "other classes"]),
        ('{"info', '{{"info', ["damaged JSON"]),
    ],
)
def test_a_damaged_datumaro_file_is_refused(datumaro: Path, refused, old: str, new: str, words: list[str]) -> None:
    path = datumaro / "annotations/train.json"
    path.write_text(path.read_text().replace(old, new).replace('{"info', '{"annotations": 0, "info'))
    if "items" not in path.read_text():
        path.write_text(path.read_text().replace("info", "items "))
    target = datumaro if "val.json" in words else path
    refused(words, load_data, str(target), options=DataOptions(format="datumaro", unlisted="absent"))


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    for name in ("images/train/a.jpg", "images/train/b.jpg", "images/val/c.jpg"):
        write_image(tmp_path / name)
    for name, text in (("train/a", "1 0.5 0.5 0.1 0.1\n0 0.1 0.1 0.2 0.2 0.3 0.3\n"), ("val/c", "")):
        path = tmp_path / "labels" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    write_yaml(
        tmp_path, path="/content/elsewhere", train="images/train", val="images/val", names={0: "cat", 1: "train"}
    )
    return tmp_path


def write_yaml(root: Path, **content) -> None:
    (root / "data.yaml").write_text(yaml.safe_dump(content))


def test_the_boxes_of_yolo_say_what_is_present(yolo: Path, refused) -> None:
    assert detect_format(str(yolo)) == detect_format(str(yolo / "data.yaml")) == "yolo"
    refused(["--unlisted"], load_data, str(yolo))
    expected = {"images/train/a.jpg": {"train", "cat"}, "images/train/b.jpg": set(), "images/val/c.jpg": set()}
    assert labels_of(yolo) == labels_of(yolo / "data.yaml") == expected
    data = load_data(str(yolo), options=ABSENT)
    assert "1 of 3 images have no text file: for YOLO they show no object" in data.notes
    assert (load_data(str(yolo), options=DataOptions(unlisted="unknown")).labels[1] == -1).all()


def test_a_box_of_no_class_is_refused_before_it_is_asked_what_silence_means(yolo: Path, refused) -> None:
    (yolo / "labels/train/a.txt").write_text("7 .5 .5 .1 .1\n")
    refused(["a.txt, line 1", "class 7 of 2"], load_data, str(yolo))


def test_the_folders_of_yolo_may_be_lists_and_names_a_list(yolo: Path) -> None:
    (yolo / "val.txt").write_text("./images/val/c.jpg\n")
    write_yaml(yolo, train=["../images/train"], val="val.txt", test=None, names=["cat", "train"])
    assert set(labels_of(yolo)) == {"images/train/a.jpg", "images/train/b.jpg", "images/val/c.jpg"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"train": "images/train"}, ["no names of classes"]),
        ({"train": "images/train", "names": {1: "cat"}}, ["not numbered"]),
        ({"train": "images/train", "names": ["cat"]}, ["a.txt, line 1", "class 1 of 1"]),
        ({"train": "images/nowhere", "names": ["cat"]}, ["no image", "nowhere", "--images"]),
        ({"names": ["cat"]}, ["name no image"]),
    ],
)
def test_a_yaml_that_leads_nowhere_is_refused(yolo: Path, refused, content: dict, words: list[str]) -> None:
    write_yaml(yolo, **content)
    refused(words, load_data, str(yolo), options=ABSENT)


def test_a_folder_of_a_split_that_is_not_there_is_left_out(yolo: Path) -> None:
    write_yaml(yolo, train="images/train", val="images/nowhere", names=["cat", "train"])
    data = load_data(str(yolo), options=ABSENT)
    assert len(data.images) == 2
    assert any("nowhere: left out" in note for note in data.notes)


@pytest.mark.parametrize(
    "text", ["names: [", "- names", "a: &a [x]\nnames: [*a, *a]", "names: &a [*a]", "!!python/object:os.system {}"]
)
def test_damaged_yaml_is_refused(yolo: Path, refused, text: str) -> None:
    (yolo / "data.yaml").write_text(text)
    refused(["data.yaml"], load_data, str(yolo), options=ABSENT)


def test_taggers_escape_parentheses_and_name_their_files_in_two_ways(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.jpg")
    (tmp_path / "a.txt").write_text(r"hatsune_miku, miku_\(vocaloid\), ")
    (tmp_path / "b.jpg.txt").write_text("1girl\nhatsune_miku\n")
    assert labels_of(tmp_path) == {"a.jpg": {"hatsune miku", "miku (vocaloid)"}, "b.jpg": {"1girl", "hatsune miku"}}
