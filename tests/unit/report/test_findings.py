"""What was found is the same in a terminal, in a file and on a page."""

import pytest

from promptmlr.cli.outcome import say
from promptmlr.report.figures import image_png
from promptmlr.report.findings import Heading, Lines, Picture, Table, as_markdown, as_text
from promptmlr.report.page import as_page

DRAWN: list[str] = []


def draw() -> bytes:
    import numpy as np

    DRAWN.append("once")
    return image_png(np.zeros((2, 2, 3), np.uint8))


FOUND = [
    Heading("Scores"),
    Table("mAP (table.csv)", ("method", "mAP"), [("first", "61.0"), ("the second", "7.5")]),
    Table("All of it (all.csv)", ("method", "seed", "mAP"), [("first", "0", "61.0")], words=2, long=True),
    Picture(draw, "a figure", "look"),
    Lines("What it means", ["one thing", "another"]),
    Lines(None, ["a line"]),
    "A paragraph that a terminal breaks, " + "and breaks " * 12 + "again.",
]


def test_a_terminal_gets_lines_without_figures_and_long_tables() -> None:
    DRAWN.clear()
    text = as_text(FOUND)
    assert text.startswith(
        "Scores\n──────\n\nmAP (table.csv)\nmethod       mAP\nfirst       61.0\nthe second   7.5\n\nWhat it means:\n"
        "  one thing\n  another\n\na line\n\nA paragraph"
    )
    assert max(map(len, text.splitlines())) <= 100
    assert "all.csv" not in text
    assert "Empty" not in as_text([*FOUND, Heading("Empty here"), FOUND[3], Heading("Empty too")])
    assert not DRAWN


@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_terminal_has_a_width(monkeypatch, capsys, terminal: bool) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    say("Title", "Lead.", [Table("mAP", ("method", "mAP"), [("a long name " * 10, "61.0")])], None, None)
    assert (max(map(len, capsys.readouterr().out.splitlines())) <= 60) == terminal


def test_a_file_gets_the_same_as_markdown() -> None:
    assert as_markdown(FOUND[:2]) == (
        "## Scores\n\nmAP (table.csv):\n\n| method | mAP |\n| --- | ---: |\n| first | 61.0 |\n| the second | 7.5 |\n"
    )
    text = as_markdown(FOUND)
    assert "### What it means\n\n- one thing\n- another\n\n- a line\n\nA paragraph" in text
    assert "all.csv" not in text


def test_a_page_gets_everything() -> None:
    html = as_page("Title", "Lead.", FOUND)
    for part in ("<h2>Scores</h2>", "table.csv", "all.csv", 'alt="a figure"', "<h3>What it means</h3>", "again."):
        assert part in html
    assert html.count("<table>") == 2
