"""What is asked about: data of any format, folders that nobody has labelled, and what is refused."""

import json
from pathlib import Path

import pytest

from promptmlr.data import DataOptions, load_data
from promptmlr.data.answers import correct, read_answers
from promptmlr.data.journal import Entry
from promptmlr.errors import UserError
from promptmlr.labels import UNKNOWN
from promptmlr.options import CacheOptions, TowerOptions
from promptmlr.web.asking import Asked, blank_table, label_queue, open_labelling
from promptmlr.web.in_journal import InJournal
from promptmlr.web.in_table import InTable
from promptmlr.web.journal import Journal
from promptmlr.web.proposals import listed_proposals
from support import Heard
from web_support import Asker, scene_png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        path = tmp_path / "photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(scene_png(number))
    return tmp_path / "photos"


def test_a_folder_and_names_become_a_blank_table(folder: Path) -> None:
    queue = label_queue(Asked(str(folder), "tree,traffic light"), None, Heard())
    assert isinstance(queue.keeper, InTable)
    assert queue.labelled.class_names == ("tree", "traffic light")
    assert (queue.labelled.labels == UNKNOWN).all()
    assert (folder / "labels.csv").read_text() == "image,tree,traffic light\n0.png,,\n1.png,,\n2.png,,\n"
    assert len(load_data(str(folder / "labels.csv")).image_ids) == 3


def test_the_table_of_a_folder_goes_on(folder: Path) -> None:
    (folder.parent / "empty").mkdir()
    table = blank_table(folder, "tree,cat")
    table.write_text(table.read_text().replace("0.png,,", "0.png,1,0"))
    before = table.read_bytes()
    assert blank_table(folder, "cat,tree") == table
    assert table.read_bytes() == before
    with pytest.raises(UserError, match="other classes: tree, cat"):
        blank_table(folder, "tree,dog")
    with pytest.raises(UserError, match="no image in folder"):
        blank_table(folder.parent / "empty", "tree,cat")


def coco(folder: Path) -> Path:
    """Where one image has a tree for sure, and no cat."""
    path = folder / "coco.json"
    path.write_text(
        json.dumps(
            {
                "images": [
                    {"id": number, "file_name": f"{number}.png", "width": 96, "height": 96, "neg_category_ids": []}
                    for number in range(3)
                ],
                "categories": [{"id": 1, "name": "tree"}, {"id": 2, "name": "cat"}],
                "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81}],
            }
        )
    )
    return path


def test_other_formats_are_answered_in_a_journal_that_convert_applies(folder: Path) -> None:
    data, heard = coco(folder), Heard()
    queue = label_queue(Asked(str(data), random_share=0.0), None, heard)
    assert isinstance(queue.keeper, InJournal)
    assert any(f"promptmlr convert {data} " in note for note in heard.notes)
    shape = queue.labelled.labels.shape
    queue.propose(listed_proposals(shape, {(row, 1): 0.5 for row in range(3)}))
    before = data.read_bytes()
    me = Asker(queue, mode="grid")
    me.answer("present", "absent", "skip")
    assert data.read_bytes() == before
    journal = folder / "coco.json.answers.jsonl"
    ids = queue.labelled.image_ids
    assert read_answers(journal) == {ids[0]: {"cat": 1}, ids[1]: {"cat": 0}}
    correct(str(data), read_answers(journal), folder / "corrected.json", DataOptions(coco_images="all"))
    after = load_data(str(folder / "corrected.json"), options=DataOptions(coco_images="all"))
    cats = after.labels[:, after.class_names.index("cat")]
    assert cats.tolist() == [1, 0, UNKNOWN]
    me.undo()
    assert read_answers(journal) == {}


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"data": "none.csv"}, "no such file"),
        ({"data": "labels.csv", "random_share": 1.5}, "--random-share 1.5"),
        ({"data": "full.csv"}, "no label is unknown"),
        ({"data": "away.csv"}, "none of the 1 images to ask about is there"),
        ({"data": "test.csv"}, "no rows of split 'train'"),
    ],
)
def test_nothing_to_ask_about(tmp_path: Path, asked, complaint: str) -> None:
    (tmp_path / "0.png").write_bytes(scene_png(0))
    (tmp_path / "labels.csv").write_text("image,tree\n0.png,\n")
    (tmp_path / "full.csv").write_text("image,tree\n0.png,1\n")
    (tmp_path / "away.csv").write_text("image,tree\n9.png,\n")
    (tmp_path / "test.csv").write_text("image,split,tree\n0.png,test,\n")
    with pytest.raises(UserError, match=complaint):
        label_queue(Asked(**{**asked, "data": str(tmp_path / asked["data"])}), None, Heard())


def test_a_run_of_other_classes(loaded, tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(scene_png(0))
    (tmp_path / "labels.csv").write_text("image,gnome\n0.png,\n")
    with pytest.raises(UserError, match="none of the run's classes"):
        label_queue(Asked(str(tmp_path / "labels.csv")), loaded[0], Heard())


def test_columns_that_are_no_classes_of_the_run_stay_as_they_are(loaded, tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(scene_png(0))
    table = tmp_path / "labels.csv"
    table.write_text("image,tree,photographer\n0.png,,Ada\n")
    queue = label_queue(Asked(str(table)), loaded[0], Heard())
    assert list(queue.labelled.class_names) == ["tree"]
    queue.propose(listed_proposals(queue.labelled.labels.shape, {(0, 0): 0.5}))
    Asker(queue).answer("present")
    assert table.read_text() == "image,tree,photographer\n0.png,1,Ada\n"


def test_a_table_is_read_and_filled_in_its_own_codes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(scene_png(0))
    table = tmp_path / "labels.csv"
    table.write_bytes(b"Path;Age;dog\r\na.png;37;\r\nb.png;41;Y\r\n")
    reading = DataOptions(ignore="Age", codes="y=present,n=absent,=unknown")
    queue = label_queue(Asked(str(table), reading=reading), None, Heard())
    queue.propose(listed_proposals(queue.labelled.labels.shape, {(0, 0): 0.5}))
    Asker(queue).answer("absent")
    assert table.read_bytes() == b"Path;Age;dog\r\na.png;37;n\r\nb.png;41;Y\r\n"
    table.write_bytes(table.read_bytes().replace(b";n", b";"))
    with pytest.raises(UserError, match="no code says absent"):
        label_queue(Asked(str(table), reading=DataOptions(ignore="Age", codes="y=present,=unknown")), None, Heard())


@pytest.mark.parametrize(("cells", "asks"), [(("a.png", "b.png"), False), (("b.png",), True)])
def test_answers_that_the_last_time_could_not_write_are_written_at_once(
    tmp_path: Path, cells: tuple[str, ...], asks: bool
) -> None:
    """Killed between the journal and the table, with nothing left to be answered or with more."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(scene_png(0))
    table = tmp_path / "labels.csv"
    table.write_text("image,dog\na.png,\nb.png,\n")
    Journal(tmp_path / "labels.csv.answers.jsonl").add([Entry(name, "dog", "1", "waiting") for name in cells])
    heard = Heard()
    if asks:
        queue = label_queue(Asked(str(table)), None, heard)
        assert ((queue.known()[0] == UNKNOWN).sum(), queue.keeper.waiting) == (1, 0)
    else:
        with pytest.raises(UserError, match="nothing to ask"):
            label_queue(Asked(str(table)), None, heard)
    assert [line.endswith(",1") for line in table.read_text().splitlines()[1:]] == [not asks, True]
    assert any(f"of the last time written to {table}" in note for note in heard.notes)


def test_suggestions_come_in_their_order_and_none_at_random(loaded, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(scene_png(number))
    (tmp_path / "labels.csv").write_text("image,tree,cat\n0.png,,\n1.png,,\n2.png,,\n")
    (tmp_path / "queue.csv").write_text("image,class,probability\n2.png,cat,0.3\n0.png,tree,0.6\n1.png,cat,\n")
    asked = Asked(str(tmp_path / "labels.csv"), suggestions=tmp_path / "queue.csv", random_share=1.0)
    regions = CacheOptions(cache=tmp_path / "cache")
    seen = []
    with open_labelling(asked, loaded[0], TowerOptions(), regions, Heard()) as (queue, learner, run):
        assert (learner, run) == (None, loaded[0])
        me = Asker(queue)
        while pages := me.pages():
            assert not pages[0].cells[0].random
            seen += me.asked()
            me.answer("absent")
    assert seen == [("2.png", "cat"), ("0.png", "tree"), ("1.png", "cat")]


def test_some_classes_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(scene_png(0))
    (tmp_path / "labels.csv").write_text("image,tree,cat\n0.png,,\n")
    queue = label_queue(Asked(str(tmp_path / "labels.csv"), classes="cat"), None, Heard())
    assert queue.labelled.class_names == ("cat",)
