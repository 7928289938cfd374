"""README.md and docs/research.md do what they say: code blocks are run, or at least read by the command line.

README's commands print what is shown below them, except for numbers; "..." is any lines.
The reader stands in a folder that holds

    labels.csv     image,split,<classes of the drawn world>: 48 rows of train with half the cells blank, 16 of test
    photos/        the 64 images of labels.csv, 0000.png … 0063.png; the column `image` says photos/0000.png
    new-photos/    4 more

and goes through the blocks in order; Python names and files of one block are there in the next. What happens to a
block is decided by its language and by a comment on the line before it:

    ```python                        executed
    ```console, ```bash              `promptmlr` lines are run, and `head -n N FILE`; in a console block only lines
                                     after "$ " are commands
    <!-- network -->                 needs a download: Python is compiled, `promptmlr` lines are parsed, nothing runs
    <!-- shown -->                   runs elsewhere: as above, and `make` lines must name a target of the Makefile
    any other language, or none      text
"""

import contextlib
import functools
import io
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from promptmlr.cli import app
from promptmlr.scenes import CLASS_NAMES, draw_scene

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^(?:<!-- (?P<mark>\w+) -->\n+)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
OTHER_NAMES = {"py": "python", "sh": "bash", "shell": "bash", "zsh": "bash"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a Markdown file."""

    language: str
    text: str
    mark: str | None

    @property
    def commands(self) -> list[list[str]]:
        """Its command lines as words, without comments; a line that ends in a backslash goes on."""
        lines = re.sub(r"\\\n\s*(> )?", " ", self.text).splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [words for line in lines if (words := shlex.split(line.removeprefix("$ "), comments=True))]

    @property
    def shown(self) -> list[list[str]]:
        """For each command of a console block, the lines below it."""
        return [part.splitlines()[1:] for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]]


def blocks(markdown: str) -> list[Block]:
    found = [Block(match["language"], match["text"], match["mark"]) for match in BLOCK.finditer(markdown)]
    assert 2 * len(found) == len(re.findall(r"^\s*```", markdown, re.MULTILINE)), "a fence is not closed, or indented"
    return found


def parse(words: list[str]) -> None:
    """Let the command line read `promptmlr …` without running it."""
    assert words[0] == "promptmlr"
    app.parse_args(words[1:])


def execute(words: list[str]) -> None:
    """Run `promptmlr …`, with mistakes raised, or `head -n N FILE`."""
    if words[0] == "head":
        lines = Path(words[3]).read_text(encoding="utf-8").splitlines()[: int(words[2])]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    else:
        app(words[1:])


def check_printed(shown: list[str], printed: str) -> None:
    """Whether all shown lines were printed, in this order, whatever their numbers are."""
    lines = iter(without_numbers(printed).splitlines())
    for line in shown:
        assert line == "..." or without_numbers(line) in lines, f"not printed: {line}\n\n{printed}"


def without_numbers(text: str) -> str:
    """All numbers as N, and all spaces as one."""
    return re.sub(r" +", " ", re.sub(r"\d+(?:[.,]\d+)*", "N", text))


def check_shown(block: Block) -> None:
    if block.language == "python":
        compile(block.text, "README.md", "exec")
        return
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in block.commands:
        if words[0] == "promptmlr":
            parse(words)
        elif words[0] == "make":
            assert set(words[1:]) <= set(targets), f"the Makefile lacks a target of: {shlex.join(words)}"


def check(markdown: str, printed: Callable[[], str] | None = None) -> None:
    """Go through a README from the current folder; compare its output with what `printed` gives after each command."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(markdown):
        assert block.language not in OTHER_NAMES, f"write ```{OTHER_NAMES.get(block.language)}"
        assert block.mark in (None, "network", "shown"), f"unknown mark: {block.mark}"
        if block.language not in ("python", "console", "bash"):
            continue
        if block.mark is not None:
            check_shown(block)
        elif block.language == "python":
            exec(compile(block.text, "README.md", "exec"), names)
        else:
            for number, words in enumerate(block.commands):
                runs = words[0] == "promptmlr" or words[:2] == ["head", "-n"]
                assert runs, f"only promptmlr can be run here; mark the block: {shlex.join(words)}"
                execute(words)
                if printed is not None:
                    check_printed(block.shown[number], printed())


@functools.cache
def drawn(index: int) -> tuple[bytes, np.ndarray]:
    """A scene as a file, and its labels."""
    scene, file = draw_scene(7, index), io.BytesIO()
    Image.fromarray(scene.image).save(file, "PNG")
    return file.getvalue(), scene.labels


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder, as the module says; it becomes the current one."""
    train, test, new = 48, 16, 4
    rng = np.random.default_rng(0)
    rows = [["image", "split", *CLASS_NAMES]]
    for place in ("photos", "new-photos"):
        (tmp_path / place).mkdir()
    for index in range(train + test + new):
        content, labels = drawn(index)
        name = f"photos/{index:04d}.png" if index < train + test else f"new-photos/{index:04d}.png"
        (tmp_path / name).write_bytes(content)
        blank = rng.random(len(CLASS_NAMES)) < (0.5 if index < train else 0)
        cells = ["" if hidden else str(label) for label, hidden in zip(labels, blank, strict=True)]
        if index < train + test:
            rows.append([name, "train" if index < train else "test", *cells])
    (tmp_path / "labels.csv").write_text("".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_readme_does_and_prints_what_it_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 120
    assert {"python", "console"} <= {block.language for block in blocks(readme) if block.mark is None}
    check(readme, lambda: "".join(reversed(capsys.readouterr())))  # what is on the way goes to stderr


@pytest.mark.slow
def test_the_page_for_researchers_does_what_it_says(folder: Path) -> None:
    page = (ROOT / "docs" / "research.md").read_text(encoding="utf-8")
    assert {"python", "console"} <= {block.language for block in blocks(page) if block.mark is None}
    check(page)


@pytest.mark.parametrize(
    ("shown", "fits"),
    [
        ("mAP 3.5 of 9", True),
        ("mAP 3.5 of 9\nlast  1,000", True),
        ("...\nlast 7", True),
        ("last 7\nmAP 3.5 of 9", False),
        ("mAP 3.5 by 9", False),
    ],
)
def test_shown_output_was_printed(shown: str, fits: bool) -> None:
    with contextlib.nullcontext() if fits else pytest.raises(AssertionError, match="not printed"):
        check_printed(shown.splitlines(), "first\nmAP 12.25 of 70\nlast 8\n")


def test_shown_output_follows_its_command() -> None:
    (block,) = blocks("```console\n$ promptmlr a\none\ntwo\n$ promptmlr b\n$ promptmlr c\nthree\n```\n")
    assert block.shown == [["one", "two"], [], ["three"]]


def test_blocks_share_names_and_files(folder: Path) -> None:
    check("```python\nfrom pathlib import Path\nwords = 'here'\n```\n\n```python\nPath('a').write_text(words)\n```\n")
    assert (folder / "a").read_text() == "here"


@pytest.mark.parametrize("mark", ["", "<!-- network -->\n", "<!-- shown -->\n\n"])
@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ("```console\n$ promptmlr train scenes --colour red --out runs/x\n```", "Unknown option: --colour"),
        ("```bash\npromptmlr train scenes \\\n  --out\n```", "--out requires an argument"),
        ("```bash\npromptmlr learn scenes --out runs/x\n```", 'Unknown command "learn"'),
        ("```python\nthis is no Python\n```", "invalid syntax"),
        ("```sh\npromptmlr methods\n```", "write ```bash"),
    ],
)
def test_a_wrong_readme_fails(folder: Path, mark: str, block: str, complaint: str) -> None:
    with pytest.raises(Exception, match=complaint):
        check(f"# Title\n\n{mark}{block}\n")
    assert not (folder / "runs").exists()


def test_marked_blocks_are_read_and_not_run(folder: Path) -> None:
    check(
        "<!-- network -->\n```console\n$ promptmlr train VOCdevkit --method dualcoop --out runs/voc\nsome output\n```\n"
        "<!-- network -->\n```python\nraise SystemExit\n```\n"
        "<!-- shown -->\n```console\n$ git clone somewhere\n$ make demo\npromptmlr 0.0\n```\n"
        "```text\npromptmlr --nonsense\n```\n"
    )
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("markdown", "complaint"),
    [
        ("<!-- shown -->\n```bash\nmake coffee\n```\n", "make coffee"),
        ("```bash\nmake demo\n```\n", "mark the block"),
        ("<!-- never -->\n```bash\nmake demo\n```\n", "unknown mark"),
        ("```python\nassert 1 == 2\n", "not closed"),
    ],
)
def test_blocks_that_are_wrongly_marked_or_open_fail(folder: Path, markdown: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check(markdown)


def test_output_of_a_console_block_is_no_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check("```console\n$ promptmlr --version  # a comment\npromptmlr 9.9 --nonsense\n```\n")
    assert capsys.readouterr().out.startswith("promptmlr ")
