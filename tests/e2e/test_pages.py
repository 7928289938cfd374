"""`--report` of the commands that measure: one page, whose numbers are in the files it names."""

from pathlib import Path

import pytest


@pytest.fixture
def commands(photos: Path) -> dict[str, tuple[object, ...]]:
    captions = photos / "captions.csv"
    captions.write_text("caption\na dog without a hat\na tree\n")
    return {
        "cost": ("cost", "--backbone", "scenes", "--classes", "3", "--batch-size", "2"),
        "probe-text": ("probe-text", photos / "labels.csv", "--backbone", "scenes", "--workers", "0"),
        "probe-captions": ("probe-captions", captions),
    }


@pytest.mark.parametrize("name", ["cost", "probe-text", "probe-captions"])
def test_a_page_names_its_files(promptmlr, commands, tmp_path: Path, name: str) -> None:
    out, page = tmp_path / "out", tmp_path / "page.html"
    done = promptmlr(*commands[name], "--out", out, "--report", page)
    assert done.code == 0, done.err
    html = page.read_text()
    tables = [path.name for path in out.glob("*.csv") if path.name != "samples.csv"]
    assert tables
    assert all(table in html for table in tables)
    assert str(out) in html
    for line in done.out.splitlines()[:1]:
        assert line.split()[0] in html


@pytest.mark.parametrize("name", ["cost", "probe-text", "probe-captions"])
def test_a_page_without_files_is_refused_before_any_work(promptmlr, commands, tmp_path: Path, name: str) -> None:
    done = promptmlr(*commands[name], "--report", tmp_path / "page.html")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "give --out as well" in done.err
    assert not done.out
