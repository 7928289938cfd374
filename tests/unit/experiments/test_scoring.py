"""Errors of one side that mAP does not see are seen beside it, and weak test data are named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.experiments.findings import as_text
from promptmlr.experiments.grid.beside import beside_findings
from promptmlr.experiments.grid.remarks import remarks_on
from promptmlr.experiments.grid.results import BESIDE, GridResults
from promptmlr.experiments.grid.scoring import mean_aps, moved, score
from promptmlr.recognizer import Recognizer
from promptmlr.regions import InMemoryRegions
from promptmlr.sides import LinearSide

NAMES = ("cat", "dog", "hat")
GENERATOR = torch.Generator().manual_seed(0)
REGIONS = torch.randn(300, 4, 8, generator=GENERATOR)
LABELS = (torch.rand(300, 3, generator=GENERATOR) < 0.3).to(torch.int8).numpy()


def linear(seed: int, bias: float = 0.0) -> LinearSide:
    side = LinearSide.random(3, 8, seed)
    return LinearSide(side.projector.weight.detach(), side.projector.bias.detach() + bias)


def recognizer(presence: LinearSide, absence: LinearSide) -> Recognizer:
    return Recognizer(presence, absence, NAMES)


def test_a_constant_on_one_side_shows_in_f1_alone() -> None:
    right, wrong = recognizer(linear(1), linear(2)), recognizer(linear(1), linear(2, bias=3.0))
    source = InMemoryRegions(REGIONS)
    (good, resampled), (bad, again) = score([right, right], [right, wrong], source, LABELS)
    assert bad.mean_ap == pytest.approx(good.mean_ap, abs=1e-6)
    assert np.allclose(resampled, again, atol=1e-6)
    assert resampled.shape == (1000,)
    assert bad.cf1 < good.cf1 / 2
    assert bad.of1 < good.of1 / 2
    assert (good.presence_moved, good.absence_moved, bad.presence_moved) == (0, 0, 0)
    assert bad.absence_moved == pytest.approx(3.0, rel=1e-5)
    assert mean_aps([right, wrong], source, LABELS) == [good.mean_ap, bad.mean_ap]


def test_how_far_a_side_moved_is_in_logits() -> None:
    start, end = recognizer(linear(1), linear(2)), recognizer(linear(3), linear(2))
    presence, absence = moved(start, end, REGIONS)
    expected = (start.presence(REGIONS) - end.presence(REGIONS)).square().mean().sqrt()
    assert presence == pytest.approx(float(expected.detach()))
    assert absence == 0


def grid(absence_moved: list[float]) -> GridResults:
    scores = np.full((1, 1, 2), 0.5)
    beside = {name: np.full((1, 1, 2), 0.4) for name in BESIDE}
    beside["absence_moved"] = np.array([[absence_moved]])
    return GridResults(["dualcoop"], [0.1], scores, np.full((1, 1, 2, 5), 0.5), [[7]], beside)


def test_a_side_that_stayed_is_named() -> None:
    whole, stuck = grid([0.3, 0.5]), grid([0.3, 0.0])
    assert not whole.unmoved()
    assert "dualcoop  40.0  40.0            0.40           0.40" in as_text(beside_findings(whole))
    assert "absence side of dualcoop stayed" in as_text(beside_findings(stuck))
    assert not replace(stuck, learned=[[0]]).unmoved()  # nothing is learned in a zero-shot row
    assert not beside_findings(replace(whole, beside={}))


def data(labels: list[list[int]]) -> LabelledImages:
    ids = tuple(f"{index:04}" for index in range(len(labels)))
    names = tuple(f"class {column}" for column in range(len(labels[0])))
    return LabelledImages(ids, ids, np.array(labels, np.int8), names, "test photos")


def test_weak_test_data_are_named() -> None:
    assert not remarks_on(data([[1, 1]] * 100))
    [few] = remarks_on(data([[1, 1]] * 99))
    assert "99 test images" in few
    [empty] = remarks_on(data([[1, 0], [0, -1]] * 50))
    assert "1 of 2 classes" in empty
    assert empty.endswith("leave them out: class 1.")
    [many] = remarks_on(data([[1] + [0] * 12] * 100))
    assert many.endswith("class 10 and 2 more.")
    with pytest.raises(UserError, match="test photos: no class has a label present"):
        remarks_on(data([[0, -1]] * 5))
