"""How to add a method: one row of the table. CONTRIBUTING.md points here."""

import numpy as np
import pytest
import torch

from promptmlr.methods import METHOD_TABLE, Method, create_recognizer
from promptmlr.recipes import load_recipe
from promptmlr.regions import InMemoryRegions
from promptmlr.sides import EmbeddingSide, LinearSide
from promptmlr.training import fit


@pytest.fixture
def new_method(monkeypatch) -> str:
    """A pair that the paper does not have: a linear layer says what is there, an embedding what is not."""
    row = Method("linear", "embedding", "vision-only presence, learned embedding for absence")
    monkeypatch.setitem(METHOD_TABLE, "linearpresence", row)
    return "linearpresence"


def test_a_row_of_the_table_is_a_method_that_trains(tiny_backbone, new_method: str) -> None:
    recognizer = create_recognizer(new_method, tiny_backbone, ["dog", "cat"])
    assert isinstance(recognizer.presence, LinearSide)
    assert isinstance(recognizer.absence, EmbeddingSide)

    regions = torch.randn(40, 5, tiny_backbone.feature_width, generator=torch.Generator().manual_seed(0))
    labels = (regions[:, 0, :2] > 0).numpy().astype(np.int8)
    losses: list[float] = []
    fit(
        recognizer,
        InMemoryRegions(regions),
        labels,
        load_recipe("default", new_method, epochs=2, warmup_epochs=0),
        on_epoch=lambda report, _state: losses.append(report.loss),
    )
    assert losses[1] < losses[0]
    assert recognizer.fold()(regions).shape == (40, 2, 2)
