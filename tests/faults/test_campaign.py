"""A short fault campaign, and its judges: they must see what may never happen."""

import json
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from pathlib import Path
from random import Random

import pytest
from faulting.content import content_of, difference
from faulting.inputs import INPUTS
from faulting.mutations import damage
from faulting.process import Job, Outcome, prepare
from faulting.record import FUZZ, Record, Tried
from faulting.service import Answers
from faulting.targets import TARGETS, Target
from faulting.verdict import Bench, Case, Finding, Reference
from faulting.world import World

COMMAND = Path(__file__).resolve().parents[2] / "bench" / "faults.py"
SHORT = (
    *("--kills", "12", "--ray", "0", "--others", "6", "--fuzz", "28", "--seed", "7"),
    *("train", "predict, shards", "convert, answers", "serve, table", "cache"),
    *("labels, csv", "labels, coco", "labels, yolo", "images, predict", "run, predict", "store", "shards, predict"),
)
ONE = Target("one", "nothing", (), "made")


@pytest.mark.slow
def test_nothing_is_lost_different_hung_or_a_traceback_and_what_was_tried_is_not_tried_again(tmp_path: Path) -> None:
    numbers, names = SHORT[:10], SHORT[10:]
    words = [*numbers, "--record", str(tmp_path / "cases.jsonl"), *(word for one in names for word in ("--only", one))]
    done = subprocess.run([sys.executable, COMMAND, *words], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-5000:]
    sums = [[int(cell) for cell in re.findall(r"\d+", line)] for line in done.stdout.splitlines() if "| all |" in line]
    (kills, _, _, pairs, *nothing), (damaged, refused, _, *nothing_either) = sums
    assert (kills >= 12, pairs > 0, damaged, refused > 0) == (True, True, 28, True)
    assert not any((*nothing, *nothing_either))
    whole = (tmp_path / "cases.jsonl").read_text()
    (tmp_path / "cases.jsonl").write_text(whole[:-20])  # as a kill leaves it
    again = subprocess.run([sys.executable, COMMAND, *words], capture_output=True, text=True, timeout=500)
    assert again.returncode == 0, again.stderr[-5000:]
    cases = [[line for line in text.splitlines() if line.startswith("| all |")] for text in (done.stdout, again.stdout)]
    assert cases[0] == cases[1]
    assert sorted(map(_without_seconds, whole.splitlines())) == sorted(
        map(_without_seconds, (tmp_path / "cases.jsonl").read_text().splitlines())
    )


def _without_seconds(line: str) -> str:
    return json.dumps(json.loads(line) | {"seconds": 0})


def test_a_page_gets_the_tables_between_its_marks(tmp_path: Path) -> None:
    record = Record(tmp_path / "cases.jsonl")
    record.add(Tried(7, "kill", "train", 0, 1.5, 2, refused=False, unnamed=False))
    finding = Finding("lost", "all of it")
    record.add(Tried(7, FUZZ, "store", 3, 0.5, 1, refused=True, unnamed=True, found=[finding]))
    assert Record(tmp_path / "cases.jsonl").tried == record.tried
    page = tmp_path / "page.md"
    page.write_text("Before\n<!-- campaign -->\nold\n<!-- end of the campaign -->\nAfter\n")
    for _ in range(2):
        record.fill(page)
        lines = page.read_text().splitlines()
        assert (lines[0], lines[-1]) == ("Before", "After")
        assert "| train | 2 | 0 | 0 | 0 | 0 |" in lines
        assert "| store | 1 | 1 | 1 | 1 | 0 | 0 | 0 |" in lines
        assert "old" not in lines


def test_how_a_process_ended_is_known_while_others_begin(tmp_path: Path, monkeypatch) -> None:
    """A start asks how all others ended, and that can be read only once."""

    def slowly(source: int) -> int:
        time.sleep(0.05)
        return read(source)

    read = forkserver.read_signed
    monkeypatch.setattr(forkserver, "read_signed", slowly)
    prepare()
    with ThreadPoolExecutor(8) as pool:
        outcomes = pool.map(lambda n: Job(["runs", "none"], tmp_path, tmp_path / f"{n}").outcome(60), range(32))
        assert {outcome.code for outcome in outcomes} == {2}


def test_every_name_is_one_of_its_own() -> None:
    names = [one.name for one in (*TARGETS, *INPUTS)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("outcome", "sent", "bad"),
    [
        (Outcome(0, 1.0, "done\n"), None, False),
        (Outcome(2, 1.0, "note\nerror: a.csv, row 2: no number; write 1 or 0\n"), None, False),
        (Outcome(2, 1.0, "no word of an error\n"), None, True),
        (Outcome(1, 1.0, "Traceback (most recent call last):\n  File\nKeyError: 'x'\n"), None, True),
        (Outcome(0, 1.0, "Exception ignored in: <module 'threading'>\n"), None, True),
        (Outcome(-9, 1.0, ""), signal.SIGKILL, False),
        (Outcome(-11, 1.0, ""), signal.SIGKILL, True),
        (Outcome(-9, 1.0, ""), None, True),
        (Outcome(130, 1.0, "interrupted\n"), signal.SIGINT, False),
    ],
)
def test_what_a_person_may_never_see_is_seen(outcome: Outcome, sent: signal.Signals | None, bad: bool) -> None:
    assert (outcome.trouble(sent) is not None) == bad


def test_equal_results_differ_in_clocks_alone(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, seconds, loss in ((one, 1, 0.5), (other, 2, 0.5)):
        folder.mkdir()
        (folder / "metrics.jsonl").write_text(json.dumps({"loss": loss, "seconds": seconds}) + "\n")
        (folder / "weights").write_bytes(b"\x00")
        (folder / "where.json").write_text(json.dumps({"at": f"{folder}/a.tar"}))
    assert difference(content_of(one), content_of(other)) is None
    (other / "weights").write_bytes(b"\x01")
    assert difference(content_of(one), content_of(other)) == "weights is another"
    assert difference(content_of(one), content_of(other), ["weights"]) is None
    (other / "metrics.jsonl").unlink()
    assert difference(content_of(one), content_of(other), ["weights"]) == "metrics.jsonl is missing"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A case of a command that makes `made` beside `kept`."""
    table = tmp_path / "world" / "truth" / "labels.csv"
    table.parent.mkdir(parents=True)
    table.write_text("image,split,cat\nimages/a.png,train,1\n")
    bench, folder = Bench(World(tmp_path / "world")), tmp_path / "case"
    folder.mkdir()
    (folder / "kept").write_text("old")
    before = content_of(folder)
    (folder / "made").write_text("whole")
    bench.references["one"] = Reference(before, content_of(folder), 1.0, 5, frozenset())
    return Case(bench, ONE, folder, Random(1))


def kinds(case: Case) -> list[str]:
    return [finding.kind for finding in case.findings]


def test_a_whole_result_and_none_are_right(case: Case) -> None:
    case.check_between()
    case.check_end(Outcome(0, 1.0, ""), temporary=True)
    (case.folder / "made").unlink()
    case.check_between()
    assert kinds(case) == []


def test_a_half_made_result_is_different(case: Case) -> None:
    (case.folder / "made").write_text("who")
    case.check_between()
    case.check_end(Outcome(0, 1.0, ""), temporary=True)
    assert kinds(case) == ["different", "different"]


def test_what_is_left_beside_a_result_is_different_unless_a_kill_left_it(case: Case) -> None:
    (case.folder / ".made.1234.tmp").write_text("who")
    case.check_end(Outcome(0, 1.0, ""), temporary=False)
    assert kinds(case) == []
    case.check_end(Outcome(0, 1.0, ""), temporary=True)
    assert kinds(case) == ["different"]


def test_what_has_gone_and_what_cannot_be_gone_on_with_is_lost(case: Case) -> None:
    (case.folder / "kept").unlink()
    case.check_between()
    assert kinds(case) == ["lost"]
    case.findings.clear()
    case.check_end(Outcome(2, 1.0, "error: no"), temporary=True)
    assert kinds(case) == ["lost"]


@pytest.mark.parametrize(("cell", "lost"), [("1", []), ("", ["lost"]), ("0", ["lost"])])
def test_an_acknowledged_answer_must_be_there(case: Case, cell: str, lost: list[str]) -> None:
    case.answers = Answers({("a.png", "cat"): "1"}, {("a.png", "cat")})
    case.bench.references["one"] = Reference(content_of(case.folder), content_of(case.folder), 1.0, 5, frozenset())
    (case.folder / "labels.csv").write_text(f"image,split,cat\nimages/a.png,train,{cell}\n")
    case.check_end(Outcome(0, 1.0, ""), temporary=True)
    assert [kind for kind in kinds(case) if kind == "lost"] == lost


@pytest.mark.parametrize("suffix", ["", ".csv", ".json", ".jsonl", ".safetensors"])
def test_damage_is_drawn_from_the_seed_and_changes_the_file(tmp_path: Path, suffix: str) -> None:
    content = b'{"a": [1, 2, {"b": "c"}]}\n'
    path, changed = tmp_path / f"file{suffix}", 0
    for seed in range(60):
        results = []
        for _ in range(2):
            path.write_bytes(content)
            way = damage(path, [], Random(seed))
            results.append((way, path.read_bytes() if path.is_file() else None))
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        assert results[0] == results[1]
        changed += results[0][1] != content
    assert changed >= 50
