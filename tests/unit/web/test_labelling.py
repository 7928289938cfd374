"""The queue: who is asked what, that nobody is asked twice, and what a new ranking leaves alone."""

import json
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.labels import UNKNOWN
from promptmlr.web import labelling
from promptmlr.web.in_journal import InJournal
from promptmlr.web.journal import Journal
from promptmlr.web.labelling import LabelQueue
from promptmlr.web.leases import Leases
from promptmlr.web.modes import AT_ONCE
from promptmlr.web.proposals import Proposals, ranked_proposals
from web_support import Asker, labelled_of, queue_of

IMAGES = 100
CLASSES = ("dog", "cat")


class Clock:
    """Says what it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text("image,dog,cat\n" + "".join(f"{number:03d}.jpg,,\n" for number in range(IMAGES)))
    return path


def proposals(seed: int = 0) -> Proposals:
    found = np.random.default_rng(seed).random((IMAGES, len(CLASSES))).astype(np.float32)
    return ranked_proposals(found, np.full(found.shape, UNKNOWN, dtype=np.int8))


def queue_in_journal(table: Path, **options) -> LabelQueue:
    queue = LabelQueue(
        labelled_of(table), InJournal(Journal(table.with_name("journal.jsonl")), "promptmlr convert"), **options
    )
    queue.propose(proposals())
    return queue


@pytest.fixture
def queue(table: Path) -> LabelQueue:
    return queue_in_journal(table, random_share=0, seed=0)


def cells_of(*askers: Asker) -> list[tuple[int, int]]:
    return [cell.place for one in askers for page in one.pages() for cell in page.cells]


def lines(table: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in table.with_name("journal.jsonl").read_text().splitlines()]


def test_a_grid_asks_about_the_most_probable_images_of_one_class(queue: LabelQueue) -> None:
    (page, _) = Asker(queue, mode="grid").pages()
    column = page.cells[0].column
    found = proposals().probabilities[:, column]
    assert [cell.row for cell in page.cells] == np.argsort(-found)[:AT_ONCE].tolist()
    assert {cell.column for cell in page.cells} == {column}
    assert all(cell.proposed == ("present" if found[cell.row] > 0.5 else "absent") for cell in page.cells)


def test_one_confirmation_answers_a_page(queue: LabelQueue, table: Path) -> None:
    me = Asker(queue, mode="grid")
    page = me.pages()[0]
    given = [cell.proposed for cell in page.cells]
    given[3], given[5] = "absent", "skip"
    done = me.answer(*given)
    assert done.counts == {"written": AT_ONCE - 1, "skipped": 1}
    assert "22 present, 1 absent, 1 skipped" in done.message
    assert [line["value"] for line in lines(table)] == [
        "1" if one == "present" else "0" for one in given if one != "skip"
    ]
    assert (me.standing().answered, me.standing().skipped) == (AT_ONCE - 1, 1)


def test_two_people_and_a_phone_answer_every_cell_once(queue: LabelQueue, table: Path) -> None:
    modes = ("grid", "image", "single")
    askers = [Asker(queue, f"person-{mode}", mode) for mode in modes]
    assert max(Counter(cells_of(*askers)).values()) == 1
    asked: list[tuple[int, int]] = []

    def answer(me: Asker) -> None:
        while pages := me.pages():
            asked.extend(cell.place for cell in pages[0].cells)
            me.answer("present", page=pages[0])

    threads = [threading.Thread(target=answer, args=[me]) for me in askers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(asked) == [(row, column) for row in range(IMAGES) for column in range(2)]
    assert len({(line["image"], line["class"]) for line in lines(table)}) == len(lines(table)) == 2 * IMAGES


def test_a_new_ranking_leaves_what_is_on_the_screen(queue: LabelQueue) -> None:
    me, other = Asker(queue, mode="grid"), Asker(queue, "somebody-else", mode="grid")
    before = me.pages()
    queue.propose(proposals(1), ranked_with=0)
    assert me.pages() == before
    fresh = other.pages()[0]
    column, found = fresh.cells[0].column, proposals(1).probabilities
    assert [cell.probability for cell in fresh.cells] == [float(found[cell.row, column]) for cell in fresh.cells]
    me.answer("absent")
    assert me.pages()[0] == before[1]
    assert me.pages()[1].cells[0].probability == float(found[me.pages()[1].cells[0].place])


def test_cells_that_are_held_silently_are_asked_again(table: Path) -> None:
    clock = Clock()
    queue = queue_in_journal(table, random_share=0, leases=Leases(300, clock))
    gone, there = Asker(queue, "goes-away", "grid"), Asker(queue, "stays-here", "grid")
    page = gone.pages()[0]
    clock.now = 200
    gone.pages()  # a sign of life
    clock.now = 450
    assert not set(cells_of(there)) & {cell.place for cell in page.cells}
    clock.now = 501
    queue.visit(there.who, "image")
    assert set(cells_of(Asker(queue, "is-new", "grid"))) & {cell.place for cell in page.cells}


def test_a_page_that_nobody_took_meanwhile_stays_on_the_screen(table: Path) -> None:
    clock = Clock()
    queue = queue_in_journal(table, random_share=0, leases=Leases(300, clock))
    me = Asker(queue, mode="grid")
    before = me.pages()
    clock.now = 10_000
    assert me.pages() == before


def test_no_answer_is_lost_to_a_lease_that_ended(table: Path) -> None:
    clock = Clock()
    queue = queue_in_journal(table, random_share=0, leases=Leases(300, clock))
    slow, quick = Asker(queue, "slow-one", "grid"), Asker(queue, "quick-one", "grid")
    page = slow.pages()[0]
    clock.now = 301
    assert quick.pages()[0].cells == page.cells
    assert queue.answer(slow.who, page.id, ["present"] * AT_ONCE)[0].counts == {"written": AT_ONCE}
    done = queue.answer(quick.who, quick.pages()[0].id, ["absent"] * AT_ONCE)[0]
    assert done.result == "written"  # of another page: the one that was answered is gone
    assert len({(line["image"], line["class"]) for line in lines(table)}) == len(lines(table)) == 2 * AT_ONCE


def test_an_answer_that_comes_twice_counts_once(queue: LabelQueue, table: Path) -> None:
    me = Asker(queue, mode="grid")
    page = me.pages()[0]
    me.answer("present", page=page)
    again = me.answer("absent", page=page)
    assert (again.result, again.message) == ("taken", "answered already")
    assert {line["value"] for line in lines(table)} == {"1"}


def test_answers_to_no_page_of_this_person(queue: LabelQueue, table: Path) -> None:
    me, other = Asker(queue), Asker(queue, "somebody-else")
    page = me.pages()[0]
    with pytest.raises(UserError, match="no longer held"):
        other.answer("present", page=page)
    with pytest.raises(UserError, match="2 answers to 1 cell"):
        queue.answer(me.who, page.id, ["present", "absent"])
    with pytest.raises(UserError, match="no such class"):
        queue.visit(me.who, "grid", "unicorn")
    assert lines(table) == []
    assert me.pages()[0] == page


def test_undo_shows_the_page_as_it_was_answered(queue: LabelQueue, table: Path) -> None:
    me, other = Asker(queue, mode="grid"), Asker(queue, "somebody-else", "grid")
    page, following = me.pages()
    given = ["absent", "skip", *["present"] * (AT_ONCE - 2)]
    me.answer(*given)
    other.answer("absent")
    assert me.undo().result == "undone"
    again = me.pages()
    assert [cell.proposed for cell in again[0].cells] == given
    assert [cell.place for cell in again[0].cells] == [cell.place for cell in page.cells]
    assert again[0].id != page.id
    assert again[1] == following
    assert me.undo().result == "nothing"  # what others answered is theirs
    standing = me.standing()
    assert (standing.answered, standing.skipped) == (AT_ONCE, 0)
    assert sum(line["state"] == "dropped" for line in lines(table)) == AT_ONCE - 1
    assert not set(cells_of(me)) & set(cells_of(other))


def test_the_share_of_random_cells_is_marked(table: Path) -> None:
    queue = queue_in_journal(table, random_share=0.25, seed=3)
    me, drawn, ranked = Asker(queue, mode="grid"), [], []
    for _ in range(8):
        for cell in me.pages()[0].cells:
            (drawn if cell.random else ranked).append(cell.place)
        me.answer("absent")
    assert 0.1 < len(drawn) / (len(drawn) + len(ranked)) < 0.4
    assert me.standing().at_random == len(drawn)
    assert sum(line["random"] for line in lines(table)) == len(drawn)


@pytest.mark.parametrize("mode", ["grid", "image", "single"])
def test_random_cells_are_like_all_cells(table: Path, mode) -> None:
    """Their mean probability is that of all, where ranked ones are far from it."""
    every = proposals().probabilities.mean()
    found: dict[float, list[float]] = {0.0: [], 1.0: []}
    for share, kept in found.items():
        for seed in range(20):
            queue = queue_in_journal(table, random_share=share, seed=seed)
            cells = Asker(queue, mode=mode).pages()[0].cells
            kept.extend(cell.probability for cell in cells)
            assert all(cell.random == bool(share) for cell in cells)
    assert abs(np.mean(found[1.0]) - every) < 0.12
    if mode == "grid":
        assert np.mean(found[0.0]) > every + 0.2


def test_an_image_with_all_its_unknown_classes(table: Path) -> None:
    table.write_text(table.read_text().replace("007.jpg,,", "007.jpg,1,"))
    queue = queue_in_journal(table, random_share=0)
    asked: Counter[int] = Counter()
    me = Asker(queue, mode="image")
    while pages := me.pages():
        assert len({cell.row for cell in pages[0].cells}) == 1
        shares = [cell.probability for cell in pages[0].cells]
        assert shares == sorted(shares, reverse=True)
        asked[pages[0].cells[0].row] += len(pages[0].cells)
        me.answer("absent")
    assert asked == Counter({row: 1 if row == 7 else 2 for row in range(IMAGES)})


def test_the_class_of_a_grid_can_be_chosen(queue: LabelQueue) -> None:
    for name in (*CLASSES, None):
        standing = queue.visit("somebody", "grid", name)
        columns = {cell.column for page in standing.pages for cell in page.cells}
        assert name is None or columns == {CLASSES.index(name)}
    assert queue.visit("somebody", "single", "cat").pages[0].mode == "single"


def test_another_mode_gives_the_cells_back(queue: LabelQueue) -> None:
    me, other = Asker(queue, mode="grid"), Asker(queue, "somebody-else", mode="grid")
    before = [cell.place for cell in me.pages()[0].cells]
    me.mode = "single"
    me.pages()
    assert len({cell.place for cell in other.pages()[0].cells} & set(before)) >= AT_ONCE - 2


def test_of_too_many_people_the_silent_begin_anew(queue: LabelQueue, monkeypatch) -> None:
    monkeypatch.setattr(labelling, "MOST_PEOPLE", 3)
    first = Asker(queue, "person-0")
    page = first.pages()[0]
    for number in range(1, 4):
        Asker(queue, f"person-{number}").pages()
    with pytest.raises(UserError, match="no longer held"):
        first.answer("present", page=page)
    assert page.cells[0].place in cells_of(Asker(queue, "person-3"))


def test_what_a_journal_holds_is_not_asked_again(queue: LabelQueue, table: Path) -> None:
    me = Asker(queue, mode="grid")
    answered = {cell.place for cell in me.pages()[0].cells}
    me.answer("present")
    again = queue_in_journal(table)
    known, count = again.known()
    assert {(int(r), int(c)) for r, c in np.argwhere(known != UNKNOWN)} == answered
    assert count == 0
    assert Asker(again).standing().left == 2 * IMAGES - AT_ONCE


def test_without_a_journal_no_answer_is_taken(queue: LabelQueue, table: Path) -> None:
    me = Asker(queue, mode="grid")
    page = me.pages()[0]
    queue.keeper.journal.path = table.parent / "no" / "folder.jsonl"
    with pytest.raises(EnvironmentFault, match="--journal"):
        me.answer("present")
    assert me.pages()[0] == page
    assert not queue.changed.is_set()


def test_before_and_without_a_ranking(table: Path) -> None:
    fresh = LabelQueue(labelled_of(table), InJournal(Journal(table.with_name("journal.jsonl")), "promptmlr convert"))
    standing = fresh.visit("somebody", "grid")
    assert (standing.state, standing.pages) == ("ranking", ())
    fresh.fail("there are no suggestions; the terminal says why")
    standing = fresh.visit("somebody", "grid")
    assert (standing.state, standing.problem) == ("ready", "there are no suggestions; the terminal says why")


def test_listed_cells_alone_are_asked_and_in_their_order(table: Path) -> None:
    listed = [("004.jpg", "cat", None), ("002.jpg", "dog", 0.25), ("009.jpg", "cat", 0.75)]
    me = Asker(queue_of(table, listed))
    seen = []
    while me.pages():
        seen += me.asked()
        me.answer("absent")
    assert seen == [(image, name) for image, name, _ in listed]
    assert Asker(queue_of(table, [("003.jpg", "cat", None)]), mode="grid").pages()[0].cells[0].proposed == "absent"
