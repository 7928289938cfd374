"""The small data, runs and stores that all faults are tried on; each is made when it is first needed."""

import csv
import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from faulting.datasets import DATASETS, write_dataset, write_tars
from faulting.process import Job

__all__ = ["CLASSES", "World"]

CLASSES = ("tree", "house", "cat", "dog", "car")
MAKING = 300.0  # seconds for one thing
ATTEMPTS = 20  # to interrupt something that takes a second


@dataclass(frozen=True)
class Piece:
    """A thing, by how it is made: a command line, or a function of the world; and what it is made from."""

    make: "str | Callable[[World], None]"
    of: tuple[str, ...] = ()


class World:
    """A folder with everything that a case may need, each a file or a folder of its own.

    Args:
        place: the folder.
    """

    def __init__(self, place: Path) -> None:
        self.place = place.resolve()
        self.place.mkdir(parents=True, exist_ok=True)
        self._made = threading.RLock()

    def need(self, name: str) -> Path:
        """A thing of the world, which is made unless it is there."""
        with self._made:
            if not (self.place / name).exists():
                piece = _PIECES[name]
                for other in piece.of:
                    self.need(other)
                self._do(piece.make) if isinstance(piece.make, str) else piece.make(self)
        return self.place / name

    def copy(self, names: Iterable[str], folder: Path) -> None:
        """Copy some of its files and folders into an existing folder."""
        for name in names:
            source, target = self.need(name), folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            else:
                shutil.copy2(source, target)

    def named(self, words: Iterable[str]) -> list[str]:
        """The words of a command line, WORLD in them being this folder: what is there has one name in all cases."""
        return [word.replace("WORLD", str(self.place)) for word in words]

    def start(self, words: str) -> Job:
        """Begin a command in it."""
        return Job(self.named(words.split()), self.place, self.place.with_name(f"{self.place.name}.said"))

    def _do(self, words: str) -> None:
        outcome = self.start(words).outcome(MAKING)
        if outcome.code != 0:
            raise SystemExit(f"promptmlr {words}: {outcome.err}")


def _unfinished(world: World) -> None:
    """A training that was interrupted."""
    begun = world.place / "new.partial" / "state.safetensors"
    for _ in range(ATTEMPTS):
        shutil.rmtree(world.place / "new", ignore_errors=True)
        job = world.start(f"{_TRAIN} --out new --epochs 12 --no-cache")
        while job.running and not begun.exists():
            time.sleep(0.001)
        job.send(signal.SIGINT)
        job.outcome(MAKING)
        if begun.exists():
            return
    raise SystemExit("a training ended before it could be interrupted")


def _answers(world: World) -> None:
    """What is true, as the journal of somebody who labelled what is trained on."""
    with (world.place / "truth/labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    entries = [{"image": Path(row["image"]).name, "class": one, "value": row[one]} for row in rows for one in CLASSES]
    (world.place / "answers.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def _tower(world: World) -> None:
    """The miniature as a checkpoint file."""
    shutil.copy(str(files("promptmlr.backbone").joinpath("scenes.safetensors")), world.place / "tower.safetensors")


_SCENES = f"convert scenes {{}} --to csv --classes {','.join(CLASSES)} --limit 12"
_TRAIN = "train data/labels.csv --backbone scenes --workers 0"
_BY_CONVERT = ("coco", "cvat", "datumaro", "fiftyone", "folder", "huggingface", "label-studio", "list-csv", "long-csv")

_PIECES: dict[str, Piece] = {
    "truth": Piece(_SCENES.format("truth")),
    "data": Piece(_SCENES.format("data") + " --observed 0.4"),
    "answers.jsonl": Piece(_answers, ("truth",)),
    "tower.safetensors": Piece(_tower),
    "run": Piece(f"{_TRAIN} --out run --epochs 2 --no-cache", ("data",)),
    "store": Piece(f"{_TRAIN} --out stored --epochs 1 --cache store --cache-key content", ("data",)),
    "new.partial": Piece(_unfinished, ("data",)),
    "runs": Piece(lambda world: world.copy(["run", "new.partial"], world.place / "runs")),
    "grid": Piece(
        "compare data/labels.csv --backbone scenes --no-cache --workers 0 --epochs 1 --seeds 1 --observed 0.5 "
        "--methods dualembedding --out grid",
        ("data",),
    ),
    "done": Piece("predict run WORLD/sets/tars/*.tar --out done --workers 0", ("run", "sets/tars")),
    "sets/tars": Piece(lambda world: write_tars(world.place / "sets/tars", world.place / "truth/images"), ("truth",)),
    **{
        f"sets/{name}": Piece(
            lambda world, name=name: write_dataset(name, world.place / "sets" / name, world.place / "truth/images"),
            ("truth",),
        )
        for name in DATASETS
    },
    **{
        f"sets/{to}": Piece(f"convert data/labels.csv sets/{to} --to {to} --present-only", ("data",))
        for to in _BY_CONVERT
    },
}
"""Name → how it is made."""
