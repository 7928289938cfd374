"""The list of numbers and the documents agree, and bench/paper.py sees what differs."""

import ast
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import paper
import pytest

from promptmlr.cli import app

ROOT = Path(__file__).resolve().parents[1]
ENTRIES = {entry.name: entry for entry in paper.entries()}
EXEMPT = tomllib.loads(paper.LIST.read_text(encoding="utf-8"))["exempt"]
FENCE = re.compile(r"^```(?:text)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FEWEST = 3  # lines with a decimal that make a table of numbers

every_entry = pytest.mark.parametrize("name", ENTRIES)


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)


@every_entry
def test_a_document_names_the_command_and_the_commit_of_its_numbers(name: str) -> None:
    entry = ENTRIES[name]
    place = ROOT / entry.document
    assert place.exists()
    assert re.fullmatch("[0-9a-f]{7}", entry.commit)
    if place.is_file():  # tables in a folder are shown by a page, which has them
        page = one_line(place.read_text(encoding="utf-8"))
        assert entry.command in page
        assert f"commit `{entry.commit}`" in page
        assert f"Since commit `{entry.since}`" in page or not entry.since


def test_commits_are_in_the_history() -> None:
    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("the history is not at hand: no repository, or a shallow clone")
    missing = [
        f"{entry.name}: {commit}"
        for entry in ENTRIES.values()
        for commit in filter(None, (entry.commit, entry.since))
        if git("merge-base", "--is-ancestor", commit, "HEAD").returncode
    ]
    assert not missing


@every_entry
def test_commands_and_kept_numbers_are_there(name: str) -> None:
    entry = ENTRIES[name]
    assert not entry.kept or (ROOT / entry.kept).is_file()
    for command in (entry.command, *entry.small):
        words = shlex.split(command)
        if words[0] == "python":
            ast.parse((ROOT / words[1]).read_text(encoding="utf-8"))
        elif words[0] == "promptmlr":
            app.parse_args(words[1:])
        else:
            assert words[0] == "make"
            assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


def lines_with_numbers(page: str) -> list[str]:
    """Rows of tables and lines of printed text with a decimal."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    lines += [line for text in FENCE.findall(page) for line in text.splitlines()]
    return [line for line in lines if re.search(r"\d\.\d", line)]


def test_every_page_with_numbers_is_in_the_list() -> None:
    listed = {entry.document for entry in ENTRIES.values()}
    listed |= {f"{place}.md" for place in listed if not place.endswith(".md")}
    cards = (ROOT / "src" / "promptmlr" / "backbone").glob("*.md")
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "how-to").glob("*.md"), *cards]
    found = {
        page.relative_to(ROOT).as_posix()
        for page in pages
        if len(lines_with_numbers(page.read_text(encoding="utf-8"))) >= FEWEST
    }
    assert len(found) > 10
    assert sorted(found - listed - set(EXEMPT)) == []
    assert not set(EXEMPT) & listed
    assert all((ROOT / page).is_file() and reason for page, reason in EXEMPT.items())


KEPT = """
| method | mAP % | s |
| --- | ---: | ---: |
| a | 61.7 (60.0 to 63.0) | 5.0 |
| b | −0.3 (−1.0 to +0.4) | 7.0 |
"""


def entry_of(**fields: object) -> paper.Entry:
    given = {"document": "page.md", "command": "promptmlr methods", "commit": "0123456", "small": ["promptmlr methods"]}
    return paper.Entry("fake", **{**given, "keys": 1, "columns": [2], "rows": 2, **fields})


@pytest.mark.parametrize(
    ("now", "differing"),
    [
        (KEPT, 0),
        (KEPT.replace("61.7", "61.8").replace("7.0", "9.9"), 0),  # within a unit; seconds are not compared
        (KEPT.replace("61.7", "61.9"), 1),
        (KEPT.replace("−0.3", "+0.3"), 1),
        (KEPT.replace("| a |", "| c |"), 0),  # a row of its own
    ],
)
def test_rows_are_compared_by_their_keys(now: str, differing: int) -> None:
    found, lines = paper.compare(entry_of(), KEPT, now)
    assert found == 2 - ("| c |" in now)
    assert len(lines) == differing
    assert all("kept" in line and "now" in line for line in lines)


def test_lines_are_compared_by_their_words_and_tolerance_counts_last_digits() -> None:
    entry = entry_of(keys=0, columns=(), tolerance=3)
    kept = "mAP 64.9 on 400 images\nlog loss  0.211\n"
    assert paper.compare(entry, kept, "mAP 65.2 on 400 images\nlog loss  0.214\n") == (2, [])
    assert paper.compare(entry, kept, "mAP 65.3 on 400 images\nlog loss  0.215\nmAP 64.9 on 400 photos\n")[0] == 2
    assert len(paper.compare(entry, kept, "mAP 65.3 on 400 images\nlog loss  0.215\n")[1]) == 2
    assert paper.compare(entry, "largest: 1.5e-06", "largest: 1.8e-06") == (1, [])
    assert len(paper.compare(entry, "largest: 1.5e-06", "largest: 1.9e-06")[1]) == 1


def test_timings_are_compared_by_their_rows_alone() -> None:
    entry = entry_of(keys=0, columns=(), tolerance=float("inf"))
    assert paper.compare(entry, "10 classes: 1.6 GiB", "20 classes: 2.9 GiB") == (1, [])
    assert paper.compare(entry, "10 classes: 1.6 GiB", "20 classes: 2.9 MiB") == (0, [])


def test_rows_that_begin_otherwise_are_left_out() -> None:
    entry = entry_of(only="a|mAP")
    assert paper.compare(entry, KEPT, KEPT.replace("−0.3", "+0.9")) == (1, [])
    assert len(paper.compare(entry, KEPT, KEPT.replace("61.7", "62.7"))[1]) == 1


def test_cells_of_a_csv_may_hold_commas_and_sixteen_digits() -> None:
    entry = entry_of(keys=2, columns=[3], tolerance=30)
    kept = 'w,"one tick, 100 images",0.6357281959769960\n'
    assert paper.compare(entry, kept, kept.replace("0.6357", "0.6380"), is_csv=(True, True)) == (1, [])
    assert len(paper.compare(entry, kept, kept.replace("0.6357", "0.6390"), is_csv=(True, True))[1]) == 1


@pytest.mark.parametrize(
    ("script", "fields", "answer"),
    [
        ("print('| a | 61.7 |')", {}, None),
        ("print('| a | 62.7 |')", {}, "kept 61.7; now 62.7"),
        ("print('| z | 61.7 |')", {}, "0 rows are in both, and 1 should be"),
        ("import sys; sys.exit('no such world')", {}, "code 1: no such world"),
        ("open('t.md', 'w').write('| a | 61.7 |')", {"output": "t.md"}, None),
        ("", {"output": "t.md"}, "t.md"),
        ("print()", {"kept": "gone.md"}, "gone.md"),
    ],
)
def test_a_small_command_is_run_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, fields: dict[str, str], answer: str | None
) -> None:
    monkeypatch.setattr(paper, "ROOT", tmp_path)
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "fake.py").write_text(script)
    (tmp_path / "page.md").write_text("| a | 61.7 |\n")
    found = paper.check(entry_of(small=["python bench/fake.py"], rows=1, **fields))
    assert len(found) == (answer is not None)
    assert answer is None or answer in found[0]


@pytest.mark.parametrize(
    ("printed", "since", "code", "said"),
    [
        ("| a | 61.7 |", "", 0, "held     fake, "),
        ("| a | 62.7 |", "", 1, "DIFFERS  fake, "),
        ("| a | 62.7 |", "89abcde", 0, "DIFFERS  fake, since 89abcde, as page.md says, "),  # the document admits it
    ],
)
def test_numbers_that_differ_end_with_code_1_unless_their_document_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, printed: str, since: str, code: int, said: str
) -> None:
    entry = entry_of(small=["python bench/fake.py"], rows=1, since=since)
    monkeypatch.setattr(paper, "ROOT", tmp_path)
    monkeypatch.setattr(paper, "entries", lambda: [entry])
    monkeypatch.setattr("sys.argv", ["paper.py"])
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "fake.py").write_text(f"print({printed!r})")
    (tmp_path / "page.md").write_text("| a | 61.7 |\n")
    with pytest.raises(SystemExit) as left:
        paper.main()
    assert left.value.code == code
    assert capsys.readouterr().out.startswith(said)


def test_an_entry_has_a_small_command_or_a_reason() -> None:
    with pytest.raises(ValueError, match="fake: either `small`, or `why`"):
        entry_of(small=[])
