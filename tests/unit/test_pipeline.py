"""`train_run`: what it hands on to selection."""

import json
from pathlib import Path

import numpy as np

from promptmlr.data import DataOptions, load_data
from promptmlr.pipeline import TrainingJob, train_run
from promptmlr.recipes import load_recipe

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
