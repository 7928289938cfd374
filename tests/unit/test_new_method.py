"""How to add a method: one row of the table. CONTRIBUTING.md points here."""

import numpy as np
import pytest
import torch

from promptmlr.methods import METHOD_TABLE, Method, create_recognizer
from promptmlr.recipes import load_recipe
from promptmlr.regions import InMemoryRegions
from promptmlr.sides import PromptSide
from promptmlr.training import fit


@pytest.fixture
def new_method(monkeypatch) -> str:
    """DualCoOp whose sides do not share the weights of the presence map: nobody tried it."""
    row = Method("prompt", "prompt", "dualcoop, each side weighted by its own map", weighting="own")
    monkeypatch.setitem(METHOD_TABLE, "dualcoopown", row)
    return "dualcoopown"


def test_a_row_of_the_table_is_a_method_that_trains(tiny_backbone, new_method: str) -> None:
    recipe = load_recipe("default", new_method, epochs=2, warmup_epochs=0)
    recognizer = create_recognizer(new_method, tiny_backbone, ["dog", "cat"], **recipe.start_options())
    assert isinstance(recognizer.presence, PromptSide)
    assert isinstance(recognizer.absence, PromptSide)

    regions = torch.randn(40, 5, tiny_backbone.feature_width, generator=torch.Generator().manual_seed(0))
    labels = (regions[:, 0, :2] > 0).numpy().astype(np.int8)
    losses: list[float] = []
    fit(
        recognizer,
        InMemoryRegions(regions),
        labels,
        recipe,
        on_epoch=lambda report, _state: losses.append(report.loss),
    )
    assert losses[1] < losses[0]
    assert recognizer.fold()(regions).shape == (40, 2, 2)
