"""The recipes of docs/how-to/scale.md are run as they stand; its commands are parsed."""

import re
from pathlib import Path

import pytest

from test_readme import ROOT, blocks, parse

PAGE = (ROOT / "docs" / "how-to" / "scale.md").read_text(encoding="utf-8")


def test_its_commands_are_commands() -> None:
    found = re.findall(r"^(?:\$ )?(promptmlr (?:[^\\\n]|\\\n)*)", PAGE, re.MULTILINE)
    assert len(found) == 4
    for command in found:
        words = command.replace("\\\n", " ").replace("'", "").replace('"$SLURM_ARRAY_TASK_ID/16"', "3/16").split()
        parse(words)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("package", ["ray.data", "daft"])
def test_a_recipe_prints_labels(package: str, trained: Path, photos: Path, capsys) -> None:
    pytest.importorskip(package)
    (code,) = [
        block.text for block in blocks(PAGE) if block.language == "python" and f"import {package}\n" in block.text
    ]
    exec(compile(code, package, "exec"), {"photos": photos / "photos", "run": str(trained)})
    assert re.search(r"^\[", capsys.readouterr().out.splitlines()[-1])
    if package == "ray.data":
        import ray

        ray.shutdown()
