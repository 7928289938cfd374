"""The commands that faults are tried on while they work: to add one is to add an entry of `TARGETS`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faulting.process import Job
from faulting.service import Answers, answer_all

__all__ = ["TARGETS", "Target"]

Beside = Callable[[Job, Path, Answers], None]


@dataclass(frozen=True)
class Target:
    """A command, and how it is gone on with.

    Attributes:
        name: as the table calls it.
        words: the command line.
        needs: files and folders of the world that it works on.
        out: what it makes; whole or not there, unless it grows.
        resume: what is added to the command line where OUT.partial holds unfinished work.
        grows: whether what it makes is kept while it works, and is not a whole result until the end.
        replaces: whether it is repeated where its result is there already.
        reads: what it reads of the world where that is, as WORLD/….
        beside_out: files that may differ between two ways to the same result.
        nothing_left: what it says where there is nothing to do any more.
        beside: what somebody does while it runs; None: waits for its end.
        on_ray: whether Ray does its work: that takes long to begin, and its workers can be killed as well.
    """

    name: str
    words: str
    needs: tuple[str, ...]
    out: str
    resume: str = ""
    grows: bool = False
    replaces: bool = False
    reads: tuple[str, ...] = ()
    beside_out: tuple[str, ...] = ()
    nothing_left: str | None = None
    beside: Beside | None = None
    on_ray: bool = False

    def command(self, folder: Path) -> list[str] | None:
        """The command line for what is in a folder; None where all is done."""
        if (folder / self.out).exists() and not (self.grows or self.replaces):
            return None
        begun = self.resume and (folder / f"{self.out}.partial" / "config.json").is_file()
        return f"{self.words} {self.resume if begun else ''}".split()


_TOWER = "--backbone scenes --workers 0"
_TRAIN = f"train data/labels.csv --out new {_TOWER}"
_BY_CONTENT = "--cache-key content"  # so that the same image has the same key in every folder
_TARS = ("sets/tars",)
_DATA, _RUN = ("data",), ("data", "run")

TARGETS = (
    Target("train", f"{_TRAIN} --epochs 12 --no-cache", _DATA, "new", resume="--resume"),
    Target("train, prompts", f"{_TRAIN} --epochs 3 --method positivecoop --no-cache", _DATA, "new", resume="--resume"),
    Target("train, stored regions", f"{_TRAIN} --epochs 4 --cache store {_BY_CONTENT}", _DATA, "new",
           resume="--resume"),
    Target("cache", f"cache data/labels.csv {_TOWER} --batch-size 1 --cache new {_BY_CONTENT}", _DATA, "new",
           grows=True),
    *(
        Target(f"predict, {kind}", f"predict run data/images --workers 0 --batch-size 1 --out new.{kind}", _RUN,
               f"new.{kind}")
        for kind in ("csv", "jsonl", "parquet")
    ),
    Target("predict, shards", "predict run WORLD/sets/tars/{000..002}.tar --out new --workers 0 --batch-size 1",
           ("run",), "new", grows=True, reads=_TARS),
    Target("cache, shards", f"cache WORLD/sets/tars/{{000..002}}.tar --out new {_TOWER} --batch-size 1", (), "new",
           grows=True, reads=_TARS),
    Target("predict, shards on Ray", "predict run WORLD/sets/tars/{000..002}.tar --out new --workers 0 --batch-size 1 "
           "--engine ray --actors 2", ("run",), "new", grows=True, reads=_TARS, on_ray=True),
    Target("predict, classes", f"predict data/images --classes tree,cat {_TOWER} --out new.csv", _DATA, "new.csv"),
    Target(
        "compare",
        f"compare data/labels.csv --out new {_TOWER} --no-cache --methods dualembedding,baseline --observed 0.3,0.6 "
        "--seeds 2 --epochs 2",
        _DATA,
        "new",
        grows=True,
    ),
    Target("evaluate", "evaluate run data/labels.csv --no-cache --workers 0", _RUN, "run/evaluation.json",
           replaces=True),
    Target("convert, csv", "convert data/labels.csv new.csv --to csv", _DATA, "new.csv"),
    Target("convert, folder", "convert data/labels.csv new --to coco", _DATA, "new"),
    Target("convert, parquet", "convert data/labels.csv new.parquet --to huggingface --present-only", _DATA,
           "new.parquet"),
    Target(
        "convert, answers",
        "convert data/labels.csv data/labels.csv --answers answers.jsonl --overwrite",
        ("data", "answers.jsonl"),
        "data/labels.csv",
        replaces=True,
    ),
    Target("export, hub", "export run --to hub --out new", _RUN, "new"),
    Target("export, onnx", "export run --to onnx --out new.onnx", _RUN, "new.onnx"),
    Target(
        "serve, table",
        "serve run --label data/labels.csv --port 0 --no-cache --workers 0",
        _RUN,
        "data/labels.csv",
        grows=True,
        beside_out=("data/labels.csv.answers.jsonl",),
        nothing_left="there is nothing to ask",
        beside=answer_all,
    ),
    Target(
        "serve, journal",
        "serve run --label sets/cvat/annotations.xml --unlisted unknown --journal answers.jsonl --port 0 --no-cache "
        "--workers 0",
        ("run", "sets/cvat"),
        "answers.jsonl",
        grows=True,
        beside_out=("answers.jsonl",),
        nothing_left="there is nothing to ask",
        beside=answer_all,
    ),
)  # fmt: skip
