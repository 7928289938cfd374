"""What a run folder gives back is what was in memory when it was written."""

from pathlib import Path

import numpy as np
import pytest
import torch

from promptmlr.backbone import Backbone
from promptmlr.data import DataOptions, load_data
from promptmlr.errors import EnvironmentFault
from promptmlr.pipeline import TrainingJob, train_run
from promptmlr.pooling import POOLINGS, Pooling
from promptmlr.recipes import load_recipe
from promptmlr.recognizer import Recognizer
from promptmlr.run import RunInProgress, load_run, weights
from promptmlr.run.weights import read_tensors


@pytest.mark.parametrize("method", ["anchored", "baseline"])
def test_recognizer_and_zero_shot_are_read_as_they_were_written(
    method: str, scenes_backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zero-shot is of the run's own kind under a prior, and of `anchored`'s beside a run without one."""
    highest = Pooling("the highest region", "", lambda maps: (maps == maps.amax(-1, keepdim=True)).float())
    monkeypatch.setitem(POOLINGS, "highest", highest)
    finish, written = RunInProgress.finish, {}

    def finished(self: RunInProgress, recognizer: Recognizer, metrics, calibration, zero_shot: Recognizer) -> Path:
        written.update(recognizer=recognizer.fold(), zero_shot=zero_shot)
        return finish(self, recognizer, metrics, calibration, zero_shot)

    monkeypatch.setattr(RunInProgress, "finish", finished)
    labelled = load_data("scenes", purpose="train", options=DataOptions(scenes_train=40))
    keep = np.ones(labelled.labels.shape, dtype=np.bool_)
    recipe = load_recipe("default", method, epochs=1, pooling="highest")
    job = TrainingJob(method, recipe, labelled, keep, 1.0, 0)
    found = load_run(train_run(job, scenes_backbone, tmp_path / "run", workers=0))
    regions = torch.randn(3, 9, 128, generator=torch.Generator().manual_seed(0))
    for name, expected in written.items():
        read = getattr(found, name)
        read.scaling = expected.scaling = None  # `prior.json` and `calibration.json` have it
        torch.testing.assert_close(read(regions), expected(regions), rtol=0, atol=0)


def test_weights_that_cannot_be_opened_are_no_mistake_of_the_user(tmp_path: Path, monkeypatch) -> None:
    """As torch says it where no file is left to be opened."""

    def nothing_left(_path: Path) -> None:
        raise RuntimeError("unable to open file: Too many open files (24)")

    monkeypatch.setattr(weights, "load_file", nothing_left)
    with pytest.raises(EnvironmentFault, match=f"cannot read {tmp_path / 'weights'}.*Too many open files"):
        read_tensors(tmp_path / "weights")
