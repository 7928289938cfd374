"""What we write is opened by the tools that it is written for, in an environment of their own.

FiftyOne is not among them: it needs a MongoDB, which its package does not bring for every system.
"""

import json
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from promptmlr.data import DataOptions
from promptmlr.data.answers import correct
from promptmlr.data.convert import convert
from promptmlr.data.formats.csv import read_csv_rows
from support import write_image

pytestmark = pytest.mark.slow

TOOLS = ["pycocotools", "lvis", "datumaro", "label-studio-sdk"]
ABSENT = DataOptions(unlisted="absent")
Python = Callable[[str], Any]


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """Run a script with the tools and return what it prints last, as JSON."""
    folder = tmp_path_factory.mktemp("foreign")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    installed = subprocess.run([python, "-m", "pip", "install", "-q", *TOOLS], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"{', '.join(TOOLS)} cannot be installed here: {installed.stderr[-200:]}")

    def run(script: str) -> Any:
        done = subprocess.run([python, "-c", dedent(script)], capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in "abc":
        write_image(tmp_path / f"{name}.jpg")
    return tmp_path


def test_cocos_own_tools_read_what_is_written(foreign: Python, photos: Path) -> None:
    table = photos / "labels.csv"
    table.write_text("image,dog,cat\na.jpg,1,0\nb.jpg,,1\nc.jpg,0,\n")
    convert(read_csv_rows(table, None, DataOptions()).parts(DataOptions()), photos / "coco", "coco")
    read = foreign(
        f"""
        import json
        from lvis import LVIS
        from pycocotools.coco import COCO
        path = {str(photos / "coco/annotations/instances_train.json")!r}
        coco, lvis = COCO(path), LVIS(path)
        (dog,) = coco.getCatIds(["dog"])
        shown = [coco.loadImgs([i])[0]["file_name"] for i in coco.getImgIds(catIds=[dog])]
        absent = {{one["file_name"]: one["neg_category_ids"] for one in lvis.load_imgs(lvis.get_img_ids())}}
        print(json.dumps([shown, absent]))
        """
    )
    assert read == [["a.jpg"], {"a.jpg": [2], "b.jpg": [], "c.jpg": [1]}]


def test_datumaro_reads_a_corrected_file_of_cvat(foreign: Python, photos: Path) -> None:
    labels = "".join(f"<label><name>{name}</name><attributes/></label>" for name in ("dog", "cat"))
    images = "".join(
        f'<image id="{number}" name="{name}.jpg" width="2" height="2">{tag}</image>'
        for number, (name, tag) in enumerate((("a", '<tag label="dog" source="manual"/>'), ("b", "")))
    )
    meta = f"<meta><task><id>1</id><size>2</size><mode>annotation</mode><labels>{labels}</labels></task></meta>"
    path = photos / "annotations.xml"
    path.write_text(f"<annotations><version>1.1</version>{meta}{images}</annotations>")
    corrected = photos / "corrected.xml"
    for name in "ab":  # where datumaro looks for them
        write_image(photos / "images" / f"{name}.jpg")
        (photos / f"{name}.jpg").unlink()
    correct(str(path), {"a.jpg": {"dog": 0, "cat": 1}, "b.jpg": {"dog": 1}}, corrected, ABSENT)
    read = foreign(
        f"""
        import json
        import datumaro
        data = datumaro.Dataset.import_from({str(corrected)!r}, "cvat")
        names = data.categories()[datumaro.AnnotationType.label]
        print(json.dumps({{item.id: [names[one.label].name for one in item.annotations] for item in data}}))
        """
    )
    assert read == {"a": ["cat"], "b": ["dog"]}


@pytest.mark.parametrize(("to", "file"), [("datumaro", ""), ("cvat", "annotations.xml")])
def test_datumaro_reads_what_is_written(foreign: Python, photos: Path, to: str, file: str) -> None:
    table = photos / "labels.csv"
    table.write_text("image,dog,cat\na.jpg,1,0\nb.jpg,1,1\nc.jpg,0,0\n")
    convert(read_csv_rows(table, None, DataOptions()).parts(DataOptions()), photos / "out", to)
    read = foreign(
        f"""
        import json
        import datumaro
        data = datumaro.Dataset.import_from({str(photos / "out" / file)!r}, {to!r})
        names = data.categories()[datumaro.AnnotationType.label]
        found = {{item.id.split("/")[-1]: [names[one.label].name for one in item.annotations] for item in data}}
        print(json.dumps(found))
        """
    )
    assert read == {"a": ["dog"], "b": ["dog", "cat"], "c": []}


def test_label_studios_converter_reads_corrected_tasks(foreign: Python, photos: Path) -> None:
    choice = {"from_name": "labels", "to_name": "image", "type": "choices", "value": {"choices": ["dog"]}}
    tasks = [
        {"id": number, "data": {"image": f"{name}.jpg"}, "annotations": [{"id": number, "result": result}]}
        for number, (name, result) in enumerate((("a", [choice]), ("b", [])), start=1)
    ]
    path, corrected = photos / "tasks.json", photos / "corrected.json"
    path.write_text(json.dumps(tasks))
    (photos / "label_config.xml").write_text(
        '<View><Image name="image" value="$image"/><Choices name="labels" toName="image" choice="multiple">'
        '<Choice value="dog"/><Choice value="cat"/></Choices></View>'
    )
    correct(str(path), {"a.jpg": {"dog": 0, "cat": 1}, "b.jpg": {"dog": 1, "cat": 1}}, corrected, ABSENT)
    read = foreign(
        f"""
        import json
        from pathlib import Path
        from label_studio_sdk.converter import Converter
        folder = Path({str(photos)!r})
        converter = Converter((folder / "label_config.xml").read_text(), project_dir=None)
        converter.convert_to_json_min(str(folder / "corrected.json"), str(folder / "out"), is_dir=False)
        print(json.dumps([one["labels"] for one in json.loads((folder / "out/result.json").read_text())]))
        """
    )
    assert read == ["cat", {"choices": ["dog", "cat"]}]
