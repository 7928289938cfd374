"""What tests train in one process and in two: `torchrun tests/several_processes.py OUT` leaves the learned tensors."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from promptmlr.backbone import load_backbone
from promptmlr.methods import create_recognizer
from promptmlr.prior.fitting import begin_run
from promptmlr.processes import first, together
from promptmlr.recipes import Recipe
from promptmlr.regions import Indices, InMemoryRegions
from promptmlr.training import TrainingRun, fit_runs

NAMES = ("cat", "dog", "house", "car", "tree")
STEPS = 50


class Patchy(InMemoryRegions):
    """Every seventh image cannot be read, so that some parts of a batch are empty."""

    def batches(self, plan, epoch: int = 0) -> Iterator[tuple[Indices, Tensor]]:
        for indices, regions in super().batches(plan, epoch):
            kept = indices % 7 != 0
            if kept.any():
                yield indices[kept], regions[torch.from_numpy(kept)]


def _recipe(**changes: object) -> Recipe:
    values = {"start": "agnostic", "offset": "none", "context_length": 4, "optimizer": "sgd", "batch_size": 7}
    rates = {"context_rate": 0.002, "embedding_rate": 0.01, "linear_rate": 0.002}
    return Recipe(**values | rates | changes)


CASES = {
    "positivecoop": ("positivecoop", _recipe(epochs=5), InMemoryRegions),
    "dualcoop shared context": ("dualcoop", _recipe(epochs=5, class_specific=False), InMemoryRegions),
    "baseline": ("baseline", _recipe(epochs=5), InMemoryRegions),
    "negativecoop large-loss": ("negativecoop", _recipe(epochs=5, unknown="large-loss"), InMemoryRegions),
    "baseline patchy": ("baseline", _recipe(epochs=25, batch_size=2), Patchy),
    "anchored prior": (
        "anchored",
        _recipe(epochs=5, prior="zero-shot", prior_strength="auto", loss="cross-entropy", start="text"),
        InMemoryRegions,
    ),
}


def train_all() -> dict[str, Tensor]:
    """Every case's tensors after 50 steps, with the strength of the prior that was chosen on the way."""
    backbone = load_backbone("scenes")
    rng = np.random.default_rng(0)
    images = 70
    regions = torch.from_numpy(rng.normal(size=(images, backbone.regions, backbone.feature_width))).float()
    labels = rng.choice(np.array([-1, 0, 1], dtype=np.int8), size=(images, len(NAMES)), p=[0.5, 0.3, 0.2])
    labels[::9] = -1
    found = {}
    for case, (method, recipe, source_of) in CASES.items():
        recognizer = create_recognizer(method, backbone, NAMES, seed=1, **recipe.start_options())
        source = source_of(regions)
        run = TrainingRun(recognizer, labels, recipe)
        if recipe.has_prior:
            begun = begin_run(recognizer, source, labels, recipe)
            run, found[f"{case}/strength"] = begun.run, torch.tensor(begun.record.lambda_)
        fit_runs([run], source)
        found |= {f"{case}/{name}": tensor.clone() for name, tensor in recognizer.state_dict().items()}
    return found


if __name__ == "__main__":
    with together():
        learned = train_all()
        if first():
            save_file(learned, Path(sys.argv[1]))
