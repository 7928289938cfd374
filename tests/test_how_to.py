"""The how-to pages and the tutorial do what they say, as `test_readme` reads blocks."""

import json
import re
import shlex
from pathlib import Path

import pytest

from test_readme import ROOT, blocks, check, parse
from test_readme import folder as folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    ["compare", "export", "features", "follow", "probabilities", "python", "what-to-label-next", "without-labels"],
)
def test_a_page_does_what_it_says(folder: Path, page: str) -> None:
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8")
    assert "console" in {block.language for block in blocks(text) if block.mark is None}
    check(text)


@pytest.mark.slow
def test_the_tutorial_does_what_it_says_and_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    check(text)
    shown = [float(number) for number in re.findall(r"^mAP ([\d.]+)", text, re.MULTILINE)]
    scored = [json.loads(Path("runs", run, "evaluation.json").read_text()) for run in ("first", "second")]
    assert [100 * one["mean_ap"] for one in scored] == pytest.approx(shown, abs=1.5)
    assert Path("shop.onnx").is_file()


def test_commands_of_failure_modes_are_commands() -> None:
    text = (ROOT / "docs" / "failure-modes.md").read_text(encoding="utf-8")
    found = re.findall(r"`promptmlr ([a-z-]+)", text)
    assert found
    for verb in found:
        parse(["promptmlr", verb, "--help"])


def test_commands_of_protocols_are_commands() -> None:
    text = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    found = re.findall(r"^\$ (promptmlr .+)$", text, re.MULTILINE)
    assert len(found) == 4
    for command in found:
        parse(shlex.split(command))
