"""Paths and helpers that tests import."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from promptmlr import scenes, training
from promptmlr.backbone import Backbone, load_backbone
from promptmlr.data import DataOptions, load_data
from promptmlr.data.images import ImageFile, find_images
from promptmlr.evaluation import evaluate
from promptmlr.features import RegionCache, stored_regions
from promptmlr.files import write_text
from promptmlr.following import Follower
from promptmlr.pipeline import TrainingJob, train_run
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, extract
from promptmlr.reporting import Reporter
from promptmlr.run import RunInProgress, load_run
from promptmlr.training import EpochReport

SHARED = Path(__file__).resolve().parents[2] / "shared"


def require_shared(*parts: str) -> Path:
    """A path below ../shared, or a skip that says so."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"../shared/{'/'.join(parts)} is not beside the project")
    return path


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table with a header, by its columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def draw_photos(folder: Path, count: int, seed: int = 7) -> list[tuple[Path, np.ndarray]]:
    """Scenes as `00.png`, `01.png`, … of a new folder, each with its labels (20,)."""
    folder.mkdir()
    digits = len(str(count - 1))
    drawn = [(folder / f"{index:0{digits}d}.png", scenes.draw_scene(seed, index)) for index in range(count)]
    for path, scene in drawn:
        Image.fromarray(scene.image).save(path)
    return [(path, scene.labels) for path, scene in drawn]


class Heard(Reporter):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def store_photos(checkpoint: Path, photos: Path, cache: Path, notes: Path) -> None:
    """Fill a store one image at a time: what a test starts as a process of its own, and kills."""
    torch.set_num_threads(1)
    heard = Heard()
    images = [ImageFile(path) for path in find_images([photos])]
    fresh = FreshRegions(load_backbone(checkpoint), images, workers=1)
    stored_regions(fresh, RegionCache(cache, "float32"), batch_size=1, reporter=heard)
    notes.write_text("\n".join(heard.notes))


class StopAfter(Follower):
    """Ctrl-C once so many epochs are trained."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch(self, report: EpochReport) -> None:
        if report.epoch == self.epochs:
            raise KeyboardInterrupt


def assert_same_tensors(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """The same names, and under each the same bits."""
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def interrupt_after(epochs: int, patch: pytest.MonkeyPatch) -> None:
    """Let the first step of training be interrupted once so many epochs of a run were saved."""
    saved, save, step = [], RunInProgress.save, training._Stack.step
    patch.setattr(RunInProgress, "save", lambda self, *rest: (saved.append(0), save(self, *rest))[1])

    def interrupted(self: training._Stack, *arguments: Any) -> None:
        if len(saved) == epochs:
            raise KeyboardInterrupt
        step(self, *arguments)

    patch.setattr(training._Stack, "step", interrupted)


def scenes_run(
    out: Path, method: str = "dualembedding", *, epochs: int = 2, backbone: Backbone | None = None, **options: Any
) -> Path:
    """A run folder, trained on a few drawn scenes and evaluated on a few others.

    Args:
        out: the folder.
        method: of the run.
        epochs: of the run.
        backbone: the miniature where it is not given.
        options: of `TrainingJob` and of `train_run`.
    """
    job = {key: options.pop(key) for key in ("select", "seed", "calibrate") if key in options}
    few = DataOptions(scenes_train=48, scenes_test=48)
    train, test = (load_data("scenes", purpose=purpose, options=few) for purpose in ("train", "test"))
    keep = np.ones(train.labels.shape, dtype=np.bool_)
    recipe = load_recipe("default", method, epochs=epochs, batch_size=16)
    tower = backbone or load_backbone("scenes")
    run = load_run(train_run(TrainingJob(method, recipe, train, keep, **job), tower, out, workers=0, **options))
    run.adopt(tower)
    _, regions = extract(FreshRegions(tower, test.images, workers=0))
    found = evaluate(run.probabilities(regions.regions), test.labels, test.class_names, resamples=20)
    write_text(out / "evaluation.json", json.dumps({"data": test.source, "select": "last", **found.as_dict()}))
    return out


def write_image(path: Path) -> None:
    """Write a red image of 2 × 2 pixels, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2), "red").save(path)
