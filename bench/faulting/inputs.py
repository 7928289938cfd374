"""What is damaged, and the commands that are given it: to add one is to add an entry of `INPUTS`."""

from dataclasses import dataclass

from faulting.targets import Target

__all__ = ["INPUTS", "Input"]


@dataclass(frozen=True, kw_only=True)
class Input(Target):
    """A command, and which of its files are damaged.

    Attributes:
        damaged: patterns of files; in each case one of them is damaged.
        exact: whether a damage that is not refused may not change the result.
        but: files and folders that are no part of that result.
        first: a command that is run before the damage.
        without: files and folders that the result may not depend on: it is the same if they are removed.
    """

    damaged: tuple[str, ...]
    exact: bool = False
    but: tuple[str, ...] = ()
    first: str | None = None
    without: tuple[str, ...] = ()


_TOWER = "--backbone scenes --workers 0"
_FROM_STORE = f"train data/labels.csv --out new {_TOWER} --epochs 1 --cache store"
_LABELS = {  # format → its files, what is named to the command, and how it is read
    "celeba": ("*.txt", "list_attr_celeba.txt", ""),
    "coco": ("annotations/*.json", "", ""),
    "cvat": ("*.xml", "", "--unlisted absent"),
    "datumaro": ("annotations/*.json", "", "--unlisted absent"),
    "features": ("*.npz", "features.npz", ""),
    "features-parquet": ("*.parquet", "features.parquet", ""),
    "fiftyone": ("**/*.json", "", "--unlisted absent"),
    "folder": ("**/*.txt", "", "--unlisted absent"),
    "huggingface": ("**/metadata.*", "", "--unlisted absent"),
    "label-studio": ("*.json", "tasks.json", "--unlisted absent"),
    "list-csv": ("*.csv", "labels.csv", ""),
    "long-csv": ("*.csv", "labels.csv", ""),
    "nus-wide": ("**/*.txt", "", "--unlisted absent"),
    "open-images": ("*.csv", "", ""),
    "visual-genome": ("*.json", "objects.json", "--unlisted absent"),
    "voc": ("**/*.[tx][xm][tl]", "", ""),
    "voc-lists": ("ImageSets/Main/*.txt", "", ""),
    "yolo": ("**/*.[ty][xa][tm]*", "data.yaml", "--unlisted absent"),
}

INPUTS = (
    *(
        Input(
            f"labels, {name}",
            f"inspect sets/{name}/{file} {options}".replace("/ ", " "),
            (f"sets/{name}",),
            "none",
            damaged=(f"sets/{name}/{files}",),
        )
        for name, (files, file, options) in _LABELS.items()
    ),
    Input("labels, csv", "convert data/labels.csv new.csv --to csv", ("data",), "new.csv", damaged=("data/*.csv",)),
    Input("labels, csv corrected", "convert data/labels.csv new.csv --answers answers.jsonl", ("data", "answers.jsonl"),
          "new.csv", damaged=("data/*.csv", "answers.jsonl")),
    Input("labels, coco corrected",
          "convert sets/coco/annotations/instances_train.json new.json --answers answers.jsonl",
          ("sets/coco", "answers.jsonl"), "new.json",
          damaged=("sets/coco/annotations/*.json", "answers.jsonl")),
    Input("images, predict", "predict run data/images --out new.csv --workers 0", ("run", "data"), "new.csv",
          damaged=("data/images/*",)),
    Input("images, cache", f"cache data/labels.csv {_TOWER} --cache new", ("data",), "new", grows=True,
          damaged=("data/images/*",)),
    Input("images, folder", f"predict data/images --classes tree,cat {_TOWER} --out new.csv", ("data",), "new.csv",
          damaged=("data/images/*",)),
    Input("shards, predict", "predict run sets/tars/*.tar --out new --workers 0", ("run", "sets/tars"), "new",
          grows=True, damaged=("sets/tars/*.tar",)),
    Input("shards, finished", "predict run WORLD/sets/tars/*.tar --out done --workers 0", ("run", "done"), "done",
          reads=("sets/tars",), damaged=("done/**/*",)),
    Input("run, predict", "predict run data/images --out new.csv --workers 0", ("run", "data"), "new.csv",
          damaged=("run/*",)),
    Input("run, evaluate", "evaluate run data/labels.csv --no-cache --workers 0 --out new.json", ("run", "data"),
          "new.json", damaged=("run/*",)),
    Input("run, export", "export run --to hub --out new", ("run",), "new", damaged=("run/*",)),
    Input("run, listed", "runs runs", ("runs",), "none", damaged=("runs/*/*",)),
    Input("unfinished run", f"train data/labels.csv --out new {_TOWER} --epochs 12 --no-cache --resume",
          ("data", "new.partial"), "new", damaged=("new.partial/*",)),
    Input("store", f"{_FROM_STORE} --cache-key content", ("data", "store"), "new",
          damaged=("store/*/*",), exact=True, but=("store",)),
    Input("stale store", f"{_FROM_STORE} --skip-unreadable", ("data",), "new", damaged=("data/images/*",),
          first=f"cache data/labels.csv {_TOWER} --cache store", without=("store",)),
    Input("checkpoint", "predict data/images --classes tree,cat --backbone tower.safetensors --workers 0 --out new.csv",
          ("data", "tower.safetensors"), "new.csv", damaged=("tower.safetensors",)),
    Input("grid", f"compare data/labels.csv --out grid {_TOWER} --no-cache --epochs 1 --seeds 1 --observed 0.5 "
          "--methods dualembedding", ("data", "grid"), "grid", damaged=("grid/*",)),
)  # fmt: skip
