"""`train_run`: what it hands on to selection, and when it writes its state."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from promptmlr.data import DataOptions, load_data
from promptmlr.pipeline import TrainingJob, train_run
from promptmlr.recipes import load_recipe
from promptmlr.run import state
from support import StopAfter, scenes_run

FEW = DataOptions(scenes_train=40, scenes_test=40)


def test_selection_data_is_matched_by_the_names_of_its_classes(scenes_backbone, tmp_path: Path) -> None:
    train, test = (load_data("scenes", purpose=purpose, options=FEW) for purpose in ("train", "test"))
    keep = np.ones(train.labels.shape, dtype=np.bool_)
    scores = []
    for order in (test.class_names, test.class_names[::-1]):
        selection = test.with_classes(order)
        recipe = load_recipe("default", "dualembedding", epochs=1)
        job = TrainingJob("dualembedding", recipe, train, keep, 1.0, 0, select="test", selection_data=selection)
        run = train_run(job, scenes_backbone, tmp_path / f"run{len(scores)}", workers=0)
        scores.append(json.loads((run / "metrics.json").read_text())["selection_map"])
    assert scores[0] == scores[1]


def test_short_epochs_are_not_all_written_and_a_resumed_run_is_the_same(
    scenes_backbone, tmp_path: Path, monkeypatch
) -> None:
    """Stopped after three epochs of which the second was the last to be written, it trains the third again."""

    whole = scenes_run(tmp_path / "whole", epochs=4, backbone=scenes_backbone)
    monkeypatch.setattr(state, "SECONDS_BETWEEN", 100.0)
    clock = iter([0.0, 50.0, 150.0, 200.0])  # begun, and after each epoch
    with monkeypatch.context() as patch:
        patch.setattr(state, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        with pytest.raises(KeyboardInterrupt):
            scenes_run(tmp_path / "run", epochs=4, backbone=scenes_backbone, followers=[StopAfter(3)])
    _, counters = state.read_state(tmp_path / "run.partial" / "state.safetensors")
    assert (counters["epoch"], len(counters["lines"])) == (2, 2)
    resumed = scenes_run(tmp_path / "run", epochs=4, backbone=scenes_backbone, resume=True)
    assert (resumed / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    assert [json.loads(line)["epoch"] for line in (resumed / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3, 4]
