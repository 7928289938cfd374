"""The queue and its file: what is written, what is left alone, and that nothing said is lost."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from promptmlr.data import DataOptions
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.web import label_file
from promptmlr.web.asking import label_queue
from promptmlr.web.journal import Entry, Journal
from promptmlr.web.label_file import LabelFile
from promptmlr.web.labelling import LabelQueue
from promptmlr.web.suggestions import Cell, training_rows
from support import Heard

TABLE = b"image,split,dog,cat\r\na.jpg,train,,1\r\nsub/b.jpg,train,,\r\nc.jpg,train,0,\r\n"
ASKED = [
    Cell("sub/b.jpg", "dog", 0.5),
    Cell("a.jpg", "dog", 0.4),
    Cell("c.jpg", "cat", None),
    Cell("a.jpg", "cat", 0.6),  # filled already
    Cell("z.jpg", "cat", 0.6),  # not there
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(TABLE)
    return path


def queue_of(table: Path, heard: Heard | None = None) -> LabelQueue:
    queue = LabelQueue(LabelFile(table), Journal(table.with_name("labels.csv.answers.jsonl")), reporter=heard)
    queue.offer(ASKED)
    return queue


def asked(queue: LabelQueue) -> tuple[str, str] | None:
    question = queue.standing().question
    return None if question is None else (question.suggestion.image_id, question.suggestion.class_name)


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
    queue = queue_of(table)
    assert asked(queue) == ("sub/b.jpg", "dog")
    standing = queue.standing()
    assert (standing.total, standing.answered, standing.following, standing.question.row) == (4, 0, 1, 3)
    done = queue.answer(0, "present")
    assert (done.result, done.message) == ("written", "dog in b.jpg: present, written to row 3")
    assert table.read_bytes() == TABLE.replace(b"sub/b.jpg,train,,", b"sub/b.jpg,train,1,")
    assert asked(queue) == ("a.jpg", "dog")
    assert queue.answer(1, "absent").result == "written"
    assert queue.answer(2, "skip").result == "skipped"
    standing = queue.standing()
    assert (asked(queue), standing.answered, standing.skipped, standing.filled) == (None, 2, 1, 1)
    assert table.read_bytes() == TABLE.replace(b"b.jpg,train,,", b"b.jpg,train,1,").replace(
        b"a.jpg,train,,", b"a.jpg,train,0,"
    )


def test_undo_goes_back_step_by_step_to_the_same_bytes(table: Path) -> None:
    queue = queue_of(table)
    queue.answer(0, "present")
    queue.answer(1, "skip")
    queue.answer(2, "absent")
    assert [queue.undo().result for _ in range(4)] == ["undone", "undone", "undone", "nothing"]
    assert table.read_bytes() == TABLE
    assert asked(queue) == ("sub/b.jpg", "dog")
    assert states(table)[-1] == ("sub/b.jpg", "1", "dropped")


def test_what_others_change_meanwhile_stays(table: Path) -> None:
    queue = queue_of(table)
    theirs = TABLE.replace(b"a.jpg,train,,1", b"a.jpg,test,,0").replace(b"split", b"split,note").replace(b"n,", b"n,x,")
    theirs = theirs.replace(b"test,", b"test,y,") + b"new.jpg,train,x,1,1\r\n"
    table.write_bytes(theirs)
    assert queue.answer(0, "absent").result == "written"
    assert table.read_bytes() == theirs.replace(b"sub/b.jpg,train,x,", b"sub/b.jpg,train,x,0")


def test_a_cell_that_others_filled_is_shown_and_left_alone(table: Path) -> None:
    queue = queue_of(table)
    theirs = TABLE.replace(b"sub/b.jpg,train,,", b"sub/b.jpg,train,0,")
    table.write_bytes(theirs)
    done = queue.answer(0, "present")
    assert done.result == "taken"
    assert "with '0'" in done.message
    assert table.read_bytes() == theirs
    assert asked(queue) == ("a.jpg", "dog")
    assert queue.standing().filled == 2
    assert states(table)[-1] == ("sub/b.jpg", "1", "dropped")


def test_filled_cells_are_not_asked_about_even_if_the_file_changes_within_a_tick(table: Path) -> None:
    queue = queue_of(table)
    assert asked(queue) == ("sub/b.jpg", "dog")
    before = table.stat()
    other = table.with_name("new.csv")
    other.write_bytes(TABLE.replace(b"sub/b.jpg,train,,", b"sub/b.jpg,train,0,"))
    other.replace(table)
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert asked(queue) == ("a.jpg", "dog")


def test_undo_leaves_alone_what_others_changed(table: Path) -> None:
    queue = queue_of(table)
    queue.answer(0, "present")
    theirs = TABLE.replace(b"sub/b.jpg,train,,", b"sub/b.jpg,train,0,")
    table.write_bytes(theirs)
    assert queue.undo().result == "taken"
    assert table.read_bytes() == theirs
    assert queue.undo().result == "nothing"


def test_undo_of_what_an_older_copy_took_back_is_done(table: Path) -> None:
    queue = queue_of(table)
    queue.answer(0, "present")
    table.write_bytes(TABLE)
    assert queue.standing().lost == 1
    assert queue.undo().result == "undone"
    assert queue.standing().lost == 0
    queue.write_again()
    assert table.read_bytes() == TABLE


def test_a_file_that_changes_while_it_is_written(table: Path, monkeypatch) -> None:
    """Somebody saves between our reading and our replacing: theirs is read again, and nothing of it is lost."""
    queue, saved = queue_of(table), []
    real = LabelFile._require

    def just_then(self, before):
        if not saved:
            saved.append(TABLE + b"new.jpg,train,1,1\r\n")
            table.write_bytes(saved[0])
        real(self, before)

    monkeypatch.setattr(LabelFile, "_require", just_then)
    assert queue.answer(0, "present").result == "written"
    assert table.read_bytes() == saved[0].replace(b"sub/b.jpg,train,,", b"sub/b.jpg,train,1,")
    assert [path.name for path in table.parent.iterdir() if path.suffix == ".tmp"] == []


def test_an_older_copy_saved_over_answers_is_noticed(table: Path) -> None:
    queue = queue_of(table)
    queue.answer(0, "present")
    queue.answer(1, "absent")
    table.write_bytes(TABLE)
    assert queue.standing().lost == 2
    assert queue.write_again().message == "2 answers written to labels.csv"
    assert queue.standing().lost == 0
    assert b"sub/b.jpg,train,1," in table.read_bytes()
    assert b"a.jpg,train,0,1" in table.read_bytes()


def test_answers_wait_while_the_file_cannot_be_written(table: Path, unwritable) -> None:
    heard = Heard()
    queue = queue_of(table, heard)
    done = queue.answer(0, "present")
    assert done.result == "waiting"
    assert "secret" not in done.message
    assert any("/secret" in note for note in heard.notes)
    assert asked(queue) == ("a.jpg", "dog")
    assert queue.standing().waiting == 1
    assert queue.write_again().result == "waiting"
    assert table.read_bytes() == TABLE
    unwritable.undo()
    assert queue.answer(1, "absent").result == "written"
    assert queue.standing().waiting == 0
    expected = TABLE.replace(b"b.jpg,train,,", b"b.jpg,train,1,").replace(b"a.jpg,train,,", b"a.jpg,train,0,")
    assert table.read_bytes() == expected
    assert [queue.undo().result, queue.undo().result] == ["undone", "undone"]
    assert table.read_bytes() == TABLE


def test_a_waiting_answer_can_be_undone(table: Path, unwritable) -> None:
    queue = queue_of(table)
    queue.answer(0, "present")
    assert queue.undo().result == "undone"
    unwritable.undo()
    assert queue.write_again().message == "0 answers written to labels.csv"
    assert table.read_bytes() == TABLE
    assert asked(queue) == ("sub/b.jpg", "dog")


def test_waiting_answers_outlive_the_process(table: Path, unwritable) -> None:
    queue_of(table).answer(0, "present")
    unwritable.undo()
    journal = table.with_name("labels.csv.answers.jsonl")
    journal.write_text(journal.read_text() + '{"image": "c.jpg", "cl')  # a crash
    queue = queue_of(table)
    assert queue.standing().waiting == 1
    assert asked(queue) == ("a.jpg", "dog")
    queue.answer(1, "absent")
    assert b"sub/b.jpg,train,1," in table.read_bytes()
    assert queue_of(table).standing().waiting == 0
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
    queue = queue_of(table)
    queue.answer(0, "present")
    unwritable.undo()
    table.write_bytes(b"image,split,dog,cat\na.jpg,train,,1\n")
    assert queue.answer(1, "absent").result == "written"
    assert queue.standing().waiting == 1


def test_a_file_that_is_half_saved_for_a_moment(table: Path) -> None:
    queue = queue_of(table)
    table.write_bytes(TABLE[:32])
    standing = queue.standing()
    assert standing.question is None
    assert "labels.csv" in standing.problem
    assert str(table.parent) not in standing.problem
    assert queue.answer(0, "present").result == "waiting"
    table.write_bytes(TABLE)
    assert queue.standing().problem is None
    assert queue.write_again().result == "written"
    assert b"sub/b.jpg,train,1," in table.read_bytes()


def test_without_a_journal_no_answer_is_taken(table: Path, monkeypatch) -> None:
    queue = queue_of(table)
    queue.journal.path = table.parent / "no" / "folder.jsonl"
    with pytest.raises(EnvironmentFault, match="--journal"):
        queue.answer(0, "present")
    assert table.read_bytes() == TABLE
    assert asked(queue) == ("sub/b.jpg", "dog")


def test_another_process_that_writes_is_waited_for(table: Path, monkeypatch) -> None:
    queue = queue_of(table)
    lock = FileLock(table.with_name(".labels.csv.lock"))
    lock.acquire()
    monkeypatch.setattr(label_file, "PATIENCE", 0.1)
    assert queue.answer(0, "present").result == "waiting"
    lock.release()
    assert queue.answer(1, "absent").result == "written"
    assert b"sub/b.jpg,train,1," in table.read_bytes()


def test_two_queues_on_one_file(table: Path) -> None:
    rows = b"".join(b"%d.jpg,train,,\r\n" % number for number in range(20))
    table.write_bytes(b"image,split,dog,cat\r\n" + rows)
    suggestions = [Cell(f"{number}.jpg", name, 0.5) for number in range(20) for name in ("dog", "cat")]
    queues = [LabelQueue(LabelFile(table), Journal(table.with_name(f"{n}.jsonl"))) for n in range(2)]

    def answer(queue: LabelQueue, numbers: range) -> None:
        queue.offer(suggestions)
        for number in numbers:
            queue.answer(number, "present")

    threads = [threading.Thread(target=answer, args=(q, range(n, 40, 2))) for n, q in enumerate(queues)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert table.read_bytes() == b"image,split,dog,cat\r\n" + rows.replace(b",,", b",1,1")


def test_mode_and_link_are_kept(table: Path, tmp_path: Path) -> None:
    table.chmod(0o640)
    link = tmp_path / "link.csv"
    link.symlink_to(table)
    queue = LabelQueue(LabelFile(link), Journal(tmp_path / "journal.jsonl"))
    queue.offer(ASKED)
    queue.answer(0, "present")
    assert stat.S_IMODE(table.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert b"sub/b.jpg,train,1," in table.read_bytes()


def test_a_question_that_was_not_asked_cannot_be_answered(table: Path) -> None:
    queue = queue_of(table)
    for number in (-1, 4, 10**9):
        with pytest.raises(UserError, match="no suggestion"):
            queue.answer(number, "present")
        assert queue.image(number) is None
    queue.answer(0, "present")
    assert queue.answer(0, "absent").result == "taken"
    assert b"sub/b.jpg,train,1," in table.read_bytes()


def test_a_skipped_cell_may_be_answered_by_another_page(table: Path) -> None:
    queue = queue_of(table)
    queue.answer(0, "skip")
    assert queue.answer(0, "present").result == "written"
    assert queue.standing().skipped == 0


def test_the_journal_knows_what_waits(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add(
        [Entry("a", "dog", "1", "waiting"), Entry("b", "dog", "0", "waiting"), Entry("a", "cat", "1", "waiting")]
    )
    journal.add(
        [Entry("b", "dog", "0", "written"), Entry("a", "cat", "1", "dropped"), Entry("a", "cat", "0", "waiting")]
    )
    waiting = Journal(tmp_path / "journal.jsonl").waiting()
    assert waiting == [Entry("a", "dog", "1", "waiting"), Entry("a", "cat", "0", "waiting")]
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('[]\n{"image": 1}\nnull\n')
    assert journal.waiting() == waiting


def test_a_file_is_read_and_filled_in_the_codes_of_the_run(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_bytes(b"Path;Age;dog\r\na.jpg;37;\r\nb.jpg;41;Y\r\n")
    options = DataOptions(ignore="Age", codes="y=present,n=absent,=unknown")
    queue = label_queue(table, None, None, Heard(), options)
    queue.offer([Cell("a.jpg", "dog", 0.5), Cell("a.jpg", "Age", 0.5)])
    assert queue.standing().total == 1
    queue.answer(queue.standing().question.number, "absent")
    assert table.read_bytes() == b"Path;Age;dog\r\na.jpg;37;n\r\nb.jpg;41;Y\r\n"
    assert training_rows(table, options=options).labels.tolist() == [[0], [1]]
    with pytest.raises(UserError, match="no code says absent"):
        label_queue(table, None, None, Heard(), DataOptions(ignore="Age", codes="y=present,=unknown"))
