"""The small data, runs and stores that all faults are tried on; made once, copied for every case."""

import csv
import json
import shutil
import signal
import time
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from faulting.datasets import write_datasets
from faulting.process import Job

__all__ = ["World"]

CLASSES = "tree,house,cat,dog,car"
SCENES = f"convert scenes {{}} --to csv --classes {CLASSES} --limit 12"
TRAIN = "train data/labels.csv --backbone scenes --workers 0 --epochs 2"
UNFINISHED = "train data/labels.csv --out new --backbone scenes --workers 0 --epochs 12 --no-cache"
STEPS = (
    SCENES.format("truth"),
    SCENES.format("data") + " --observed 0.4",
    f"{TRAIN} --out run --no-cache",
    f"{TRAIN} --out stored --cache store --method dualembedding",
    "compare data/labels.csv --backbone scenes --no-cache --workers 0 --epochs 1 --seeds 1 --observed 0.5 "
    "--methods dualembedding --out grid",
    "suggest run data/labels.csv --out queue.csv --no-cache",
)
MADE_BY_CONVERT = (
    *("coco", "cvat", "datumaro", "fiftyone", "folder"),
    *("huggingface", "label-studio", "list-csv", "long-csv"),
)


class World:
    """A folder with everything that a case may need, each a file or a folder of its own.

    Args:
        place: a folder; all is made in it if it is not there yet.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        if place.exists():
            return
        place.mkdir(parents=True)
        steps = [*STEPS]
        steps += [f"convert data/labels.csv sets/{to} --to {to} --present-only" for to in MADE_BY_CONVERT]
        for words in steps:
            self.do(words)
        write_datasets(place / "sets", place / "truth" / "images")
        _write_answers(place)
        self.do("predict run WORLD/sets/tars/*.tar --out done --workers 0")
        self._interrupt(UNFINISHED, place / "new.partial" / "state.safetensors")
        for name in ("run", "stored", "new.partial"):
            self.copy([name], place / "runs")
        shutil.copy(files("promptmlr.backbone").joinpath("scenes.safetensors"), place / "tower.safetensors")

    def do(self, words: str) -> None:
        """Run one command in it, which must succeed."""
        outcome = Job(self.named(words.split()), self.place, self.place.with_name("making")).outcome(300)
        if outcome.code != 0:
            raise SystemExit(f"promptmlr {words}: {outcome.err}")

    def _interrupt(self, words: str, begun: Path) -> None:
        """Run a command until there is a file, and end it."""
        job = Job(words.split(), self.place, self.place.with_name("making"))
        while job.running and not begun.exists():
            time.sleep(0.001)
        job.send(signal.SIGINT)
        job.outcome(60)
        if not begun.exists():
            raise SystemExit(f"promptmlr {words} ended before it could be interrupted")

    def named(self, words: Iterable[str]) -> list[str]:
        """The words of a command line, WORLD in them being this folder: what is there has one name in all cases."""
        return [word.replace("WORLD", str(self.place)) for word in words]

    def copy(self, names: Iterable[str], folder: Path) -> None:
        """Copy some of its files and folders into an existing folder."""
        for name in names:
            source, target = self.place / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            else:
                shutil.copy2(source, target)


def _write_answers(place: Path) -> None:
    """What is true, as journals: of somebody who labelled everything, and of one who labelled what is trained on."""
    with (place / "truth/labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, splits in {"answers.jsonl": ("train", "test"), "answers-train.jsonl": ("train",)}.items():
        entries = [
            {"image": Path(row["image"]).name, "class": one, "value": row[one]}
            for row in rows
            if row["split"] in splits
            for one in CLASSES.split(",")
        ]
        (place / name).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
