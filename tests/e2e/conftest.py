"""The command line in this process, and a person's folder of photos."""

import csv
import io
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from promptmlr import scenes
from promptmlr.cli import main
from support import draw_photos


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def promptmlr() -> Callable[..., Outcome]:
    """Run `promptmlr ARGUMENTS…` and give back its exit code and what it printed."""

    def run(*arguments: object) -> Outcome:
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True) for _ in range(2))
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["promptmlr", *map(str, arguments)])
            with pytest.raises(SystemExit) as left:
                main()
        return Outcome(int(left.value.code or 0), *(stream.buffer.getvalue().decode() for stream in (out, err)))

    return run


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    """What `photos` is a copy of."""
    folder, names, rng = tmp_path_factory.mktemp("drawn"), scenes.CLASS_NAMES[:5], np.random.default_rng(5)
    rows = []
    for index, (path, labels) in enumerate(draw_photos(folder / "photos", 48)):
        test = index >= 32
        cells = [str(label) if test or rng.random() < 0.4 else "" for label in labels[: len(names)]]
        rows.append([f"photos/{path.name}", "test" if test else "train", *cells])
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "split", *names], *rows])
    return folder


@pytest.fixture(scope="session")
def trained(promptmlr, drawn: Path, tmp_path_factory) -> Path:
    """A run on `drawn`: the default method, two epochs on the miniature CLIP. Change copies alone."""
    out = tmp_path_factory.mktemp("trained") / "run"
    done = promptmlr("train", drawn / "labels.csv", "--out", out, *("--backbone", "scenes", "--epochs", "2"))
    assert done.code == 0, done.err
    return out


@pytest.fixture
def photos(drawn: Path, tmp_path: Path) -> Path:
    """A folder with `photos/*.png`, and `labels.csv` with a split column and six cells of ten blank."""
    return Path(shutil.copytree(drawn, tmp_path, dirs_exist_ok=True))


@pytest.fixture
def run(trained: Path, photos: Path) -> Path:
    """A run on `photos`, beside them."""
    return Path(shutil.copytree(trained, photos / "run"))
