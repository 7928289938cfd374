"""The command line in this process, and a person's folder of photos."""

import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from promptmlr import scenes
from promptmlr.cli import main


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def promptmlr(monkeypatch, capsys) -> Callable[..., Outcome]:
    """Run `promptmlr ARGUMENTS…` and give back its exit code and what it printed."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["promptmlr", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        captured = capsys.readouterr()
        return Outcome(int(left.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with `photos/*.png`, and `labels.csv` with a split column and six cells of ten blank."""
    rng = np.random.default_rng(5)
    names = scenes.CLASS_NAMES[:5]
    rows = []
    for index in range(48):
        scene = scenes.draw_scene(7, index)
        path = tmp_path / "photos" / f"{index:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(scene.image).save(path)
        test = index >= 32
        cells = [str(label) if test or rng.random() < 0.4 else "" for label in scene.labels[: len(names)]]
        rows.append([f"photos/{path.name}", "test" if test else "train", *cells])
    with (tmp_path / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "split", *names], *rows])
    return tmp_path
