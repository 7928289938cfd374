"""Answers in a CSV: what is written, what is left alone, and that nothing said is lost."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from promptmlr.data.journal import Entry
from promptmlr.errors import EnvironmentFault
from promptmlr.reporting import Reporter
from promptmlr.web import label_file
from promptmlr.web.journal import Journal
from promptmlr.web.label_file import LabelFile
from support import Heard
from web_support import Asker, queue_of

TABLE = b"image,split,dog,cat\r\na.jpg,train,,1\r\nsub/b.jpg,train,,\r\nc.jpg,train,0,\r\n"
ASKED = [
    ("sub/b.jpg", "dog", 0.5),
    ("a.jpg", "dog", 0.4),
    ("c.jpg", "cat", None),
    ("a.jpg", "cat", 0.6),  # filled already
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(TABLE)
    return path


def asker(table: Path, reporter: Reporter | None = None) -> Asker:
    """Somebody who is asked one cell after the other."""
    return Asker(queue_of(table, ASKED, reporter=reporter))


def states(table: Path) -> list[tuple[str, str, str]]:
    lines = table.with_name("labels.csv.answers.jsonl").read_text().splitlines()
    return [(entry["image"], entry["value"], entry["state"]) for entry in map(json.loads, lines)]


@pytest.fixture
def unwritable(monkeypatch):
    """The file cannot be replaced, until the context is undone."""

    def refuse(*_arguments, **_options):
        raise EnvironmentFault("cannot write /secret/labels.csv: Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(label_file, "replacing", refuse)
        yield patch


def test_one_question_after_the_other(table: Path) -> None:
    me = asker(table)
    assert me.asked() == [("sub/b.jpg", "dog")]
    standing = me.standing()
    assert (standing.left, standing.answered, len(standing.pages)) == (3, 0, 2)
    assert me.queue.row(me.pages()[0].cells[0].row) == 3
    done = me.answer("present")
    assert (done.result, done.message) == ("written", "dog in b.jpg: present")
    assert table.read_bytes() == TABLE.replace(b"sub/b.jpg,train,,", b"sub/b.jpg,train,1,")
    assert me.asked() == [("a.jpg", "dog")]
    assert me.answer("absent").result == "written"
    assert me.answer("skip").result == "skipped"
    standing = me.standing()
    assert (me.asked(), standing.answered, standing.skipped, standing.left) == ([], 2, 1, 0)
    assert table.read_bytes() == TABLE.replace(b"b.jpg,train,,", b"b.jpg,train,1,").replace(
        b"a.jpg,train,,", b"a.jpg,train,0,"
    )


def test_undo_goes_back_step_by_step_to_the_same_bytes(table: Path) -> None:
    me = asker(table)
    me.answer("present")
    me.answer("skip")
    me.answer("absent")
    assert [me.undo().result for _ in range(4)] == ["undone", "undone", "undone", "nothing"]
    assert table.read_bytes() == TABLE
    assert me.asked() == [("sub/b.jpg", "dog")]
    assert states(table)[-1] == ("sub/b.jpg", "1", "dropped")


def test_what_others_change_meanwhile_stays(table: Path) -> None:
    me = asker(table)
    theirs = TABLE.replace(b"a.jpg,train,,1", b"a.jpg,test,,0").replace(b"split", b"split,note").replace(b"n,", b"n,x,")
    theirs = theirs.replace(b"test,", b"test,y,") + b"new.jpg,train,x,1,1\r\n"
    table.write_bytes(theirs)
    assert me.answer("absent").result == "written"
    assert table.read_bytes() == theirs.replace(b"sub/b.jpg,train,x,", b"sub/b.jpg,train,x,0")


def test_a_cell_that_others_filled_is_shown_and_left_alone(table: Path) -> None:
    me = asker(table)
    page = me.pages()[0]
    theirs = TABLE.replace(b"sub/b.jpg,train,,", b"sub/b.jpg,train,0,")
    table.write_bytes(theirs)
    done = me.answer("present", page=page)
    assert done.result == "taken"
    assert done.message == "dog in b.jpg: not written, as others have answered meanwhile"
    assert table.read_bytes() == theirs
    assert me.asked() == [("a.jpg", "dog")]
    assert me.standing().filled == 1
    assert states(table)[-1] == ("sub/b.jpg", "1", "dropped")


def test_filled_cells_are_not_asked_about_even_if_the_file_changes_within_a_tick(table: Path) -> None:
    me = asker(table)
    assert [me.queue.labelled.image_ids[page.cells[0].row] for page in me.pages()] == ["sub/b.jpg", "a.jpg"]
    before = table.stat()
    other = table.with_name("new.csv")
    other.write_bytes(TABLE.replace(b"a.jpg,train,,1", b"a.jpg,train,0,1"))
    other.replace(table)
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))
    me.answer("absent")
    assert me.asked() == [("c.jpg", "cat")]


def test_undo_leaves_alone_what_others_changed(table: Path) -> None:
    me = asker(table)
    me.answer("present")
    theirs = TABLE.replace(b"sub/b.jpg,train,,", b"sub/b.jpg,train,0,")
    table.write_bytes(theirs)
    assert me.undo().result == "taken"
    assert table.read_bytes() == theirs
    assert me.undo().result == "nothing"


def test_undo_of_what_an_older_copy_took_back_is_done(table: Path) -> None:
    me = asker(table)
    me.answer("present")
    table.write_bytes(TABLE)
    assert me.standing().lost == 1
    assert me.undo().result == "undone"
    assert me.standing().lost == 0
    me.write_again()
    assert table.read_bytes() == TABLE


def test_a_file_that_changes_while_it_is_written(table: Path, monkeypatch) -> None:
    """Somebody saves between our reading and our replacing: theirs is read again, and nothing of it is lost."""
    me, saved = asker(table), []
    real = LabelFile._require

    def just_then(self, before):
        if not saved:
            saved.append(TABLE + b"new.jpg,train,1,1\r\n")
            table.write_bytes(saved[0])
        real(self, before)

    monkeypatch.setattr(LabelFile, "_require", just_then)
    assert me.answer("present").result == "written"
    assert table.read_bytes() == saved[0].replace(b"sub/b.jpg,train,,", b"sub/b.jpg,train,1,")
    assert [path.name for path in table.parent.iterdir() if path.suffix == ".tmp"] == []


def test_an_older_copy_saved_over_answers_is_noticed(table: Path) -> None:
    me = asker(table)
    me.answer("present")
    me.answer("absent")
    table.write_bytes(TABLE)
    assert me.standing().lost == 2
    assert me.write_again().message == "2 answers written to labels.csv"
    assert me.standing().lost == 0
    assert b"sub/b.jpg,train,1," in table.read_bytes()
    assert b"a.jpg,train,0,1" in table.read_bytes()


def test_answers_wait_while_the_file_cannot_be_written(table: Path, unwritable) -> None:
    heard = Heard()
    me = asker(table, heard)
    done = me.answer("present")
    assert done.result == "waiting"
    assert "secret" not in done.message
    assert any("/secret" in note for note in heard.notes)
    assert me.asked() == [("a.jpg", "dog")]
    assert me.standing().waiting == 1
    assert me.write_again().result == "waiting"
    assert table.read_bytes() == TABLE
    unwritable.undo()
    assert me.answer("absent").result == "written"
    assert me.standing().waiting == 0
    expected = TABLE.replace(b"b.jpg,train,,", b"b.jpg,train,1,").replace(b"a.jpg,train,,", b"a.jpg,train,0,")
    assert table.read_bytes() == expected
    assert [me.undo().result, me.undo().result] == ["undone", "undone"]
    assert table.read_bytes() == TABLE


def test_a_waiting_answer_can_be_undone(table: Path, unwritable) -> None:
    me = asker(table)
    me.answer("present")
    assert me.undo().result == "undone"
    unwritable.undo()
    assert me.write_again().message == "0 answers written to labels.csv"
    assert table.read_bytes() == TABLE
    assert me.asked() == [("sub/b.jpg", "dog")]


def test_waiting_answers_outlive_the_process(table: Path, unwritable) -> None:
    asker(table).answer("present")
    unwritable.undo()
    journal = table.with_name("labels.csv.answers.jsonl")
    journal.write_text(journal.read_text() + '{"image": "c.jpg", "cl')  # a crash
    me = asker(table)
    assert me.standing().waiting == 1
    assert me.asked() == [("a.jpg", "dog")]
    me.answer("absent")
    assert b"sub/b.jpg,train,1," in table.read_bytes()
    assert asker(table).standing().waiting == 0
    assert [state for *_, state in states_of_whole_lines(journal)][-1] == "written"


def states_of_whole_lines(journal: Path) -> list[tuple[str, str, str]]:
    found = []
    for line in journal.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        found.append((entry["image"], entry["value"], entry["state"]))
    return found


def test_a_waiting_answer_to_a_row_that_is_gone_keeps_nobody_up(table: Path, unwritable) -> None:
    me = asker(table)
    me.answer("present")
    unwritable.undo()
    table.write_bytes(b"image,split,dog,cat\na.jpg,train,,1\n")
    assert me.answer("absent").result == "written"
    assert me.standing().waiting == 1


def test_a_file_that_is_half_saved_for_a_moment(table: Path) -> None:
    me = asker(table)
    me.pages()
    table.write_bytes(TABLE[:32])
    standing = me.standing()
    assert len(standing.pages) == 2
    assert "labels.csv" in standing.problem
    assert str(table.parent) not in standing.problem
    assert me.answer("present").result == "waiting"
    table.write_bytes(TABLE)
    assert me.standing().problem is None
    assert me.write_again().result == "written"
    assert b"sub/b.jpg,train,1," in table.read_bytes()


def test_without_a_journal_no_answer_is_taken(table: Path, monkeypatch) -> None:
    me = asker(table)
    me.queue.keeper.journal.path = table.parent / "no" / "folder.jsonl"
    with pytest.raises(EnvironmentFault, match="--journal"):
        me.answer("present")
    assert table.read_bytes() == TABLE
    assert me.asked() == [("sub/b.jpg", "dog")]


def test_another_process_that_writes_is_waited_for(table: Path, monkeypatch) -> None:
    me = asker(table)
    lock = FileLock(table.with_name(".labels.csv.lock"))
    lock.acquire()
    monkeypatch.setattr(label_file, "PATIENCE", 0.1)
    assert me.answer("present").result == "waiting"
    lock.release()
    assert me.answer("absent").result == "written"
    assert b"sub/b.jpg,train,1," in table.read_bytes()


def test_two_services_on_one_file(table: Path) -> None:
    rows = b"".join(b"%d.jpg,train,,\r\n" % number for number in range(20))
    table.write_bytes(b"image,split,dog,cat\r\n" + rows)
    askers = [Asker(queue_of(table, journal=table.with_name(f"{n}.jsonl"))) for n in range(2)]

    def answer(me: Asker) -> None:
        while me.pages():
            me.answer("present")

    threads = [threading.Thread(target=answer, args=[me]) for me in askers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert table.read_bytes() == b"image,split,dog,cat\r\n" + rows.replace(b",,", b",1,1")


def test_mode_and_link_are_kept(table: Path, tmp_path: Path) -> None:
    table.chmod(0o640)
    link = tmp_path / "link.csv"
    link.symlink_to(table)
    Asker(queue_of(link, ASKED)).answer("present")
    assert stat.S_IMODE(table.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert b"sub/b.jpg,train,1," in table.read_bytes()


def test_the_journal_knows_the_last_answers(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add(
        [Entry("a", "dog", "1", "waiting"), Entry("b", "dog", "0", "waiting"), Entry("a", "cat", "1", "waiting")]
    )
    journal.add(
        [Entry("b", "dog", "0", "written"), Entry("a", "cat", "1", "dropped"), Entry("a", "cat", "0", "waiting")]
    )
    answers = Journal(tmp_path / "journal.jsonl").answers()
    assert answers == [
        Entry("a", "dog", "1", "waiting"),
        Entry("b", "dog", "0", "written"),
        Entry("a", "cat", "0", "waiting"),
    ]
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"image": "b", "cla')  # cut short by a crash
    assert journal.answers() == answers
    journal.add([Entry("b", "cat", "1", "waiting")])
    assert journal.answers() == [*answers, Entry("b", "cat", "1", "waiting")]
