"""Errors of one side that mAP does not see are seen beside it, and weak test data are named."""

from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics
import torch

from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.evaluation import log_loss
from promptmlr.functional import presence_probability
from promptmlr.paper.grid.other_metrics import other_metrics_findings
from promptmlr.paper.grid.remarks import remarks_on
from promptmlr.paper.grid.results import OTHER_METRICS, GridResults
from promptmlr.paper.grid.scoring import displacement, mean_aps, score
from promptmlr.recognizer import Recognizer
from promptmlr.regions import InMemoryRegions
from promptmlr.report.findings import as_text
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
    assert (good.presence_displacement, good.absence_displacement, bad.presence_displacement) == (0, 0, 0)
    assert bad.absence_displacement == pytest.approx(3.0, rel=1e-5)
    assert mean_aps([right, wrong], source, LABELS) == [good.mean_ap, bad.mean_ap]


def test_log_loss_and_calibration_error_are_of_the_known_labels() -> None:
    model, source = recognizer(linear(1), linear(2)), InMemoryRegions(REGIONS)
    labels = np.where(np.random.default_rng(0).random(LABELS.shape) < 0.5, np.int8(-1), LABELS)
    [(found, _)] = score([model], [model], source, labels)
    with torch.no_grad():
        said = presence_probability(model(REGIONS)).double().numpy()[labels != -1]
    there = labels[labels != -1]
    assert found.log_loss == pytest.approx(sklearn.metrics.log_loss(there, said), rel=1e-6)
    bins = [(10 * said).astype(int).clip(max=9) == number for number in range(10)]
    gaps = [abs(said[own].sum() - there[own].sum()) for own in bins]
    assert found.calibration_error == pytest.approx(sum(gaps) / len(said), rel=1e-6)


def test_one_wrong_certainty_does_not_make_a_log_loss_infinite() -> None:
    said, labels = np.array([[0.0, 1.0, 0.5]], np.float32), np.array([[1, 0, 1]], np.int8)
    assert log_loss(said, labels) == pytest.approx((-2 * np.log(1e-7) + np.log(2)) / 3)
    assert log_loss(said[:, :2], 1 - labels[:, :2]) == 0


def test_how_far_a_side_moved_is_in_logits() -> None:
    start, end = recognizer(linear(1), linear(2)), recognizer(linear(3), linear(2))
    presence, absence = displacement(start, end, REGIONS)
    expected = (start.presence(REGIONS) - end.presence(REGIONS)).square().mean().sqrt()
    assert presence == pytest.approx(float(expected.detach()))
    assert absence == 0


def grid(absence_displacement: list[float]) -> GridResults:
    scores = np.full((1, 1, 2), 0.5)
    other_metrics = {name: np.full((1, 1, 2), 0.4) for name in OTHER_METRICS}
    other_metrics["absence_displacement"] = np.array([[absence_displacement]])
    return GridResults(["dualcoop"], [0.1], scores, np.full((1, 1, 2, 5), 0.5), [[7]], other_metrics)


def test_a_side_that_stayed_is_named() -> None:
    whole, stuck = grid([0.3, 0.5]), grid([0.3, 0.0])
    assert not whole.sides_at_start()
    row = next(line for line in as_text(other_metrics_findings(whole)).splitlines() if line.startswith("dualcoop"))
    assert row.split() == ["dualcoop", "40.0", "40.0", "0.400", "40.0", "0.40", "0.40"]
    assert "absence side of dualcoop stayed" in as_text(other_metrics_findings(stuck))
    assert not replace(stuck, learned=[[0]]).sides_at_start()  # nothing is learned in a zero-shot row
    assert not other_metrics_findings(replace(whole, other_metrics={}))


def test_what_an_older_version_did_not_keep_is_a_dash() -> None:
    whole = grid([0.3, 0.5])
    older = replace(whole, other_metrics=dict(whole.other_metrics) | {"log_loss": np.array([[[0.4, np.nan]]])})
    row = next(line for line in as_text(other_metrics_findings(older)).splitlines() if line.startswith("dualcoop"))
    assert row.split()[3:5] == ["–", "40.0"]


def test_the_three_most_probable_classes_have_a_table_of_their_own() -> None:
    whole = grid([0.3, 0.5])
    newer = replace(whole, other_metrics=dict(whole.other_metrics) | {"f1_at_3": np.array([[[0.2, 0.3]]])})
    older = replace(whole, other_metrics=dict(whole.other_metrics) | {"cf1_top3": np.full((1, 1, 2), np.nan)})
    rows = [
        [line.split() for line in as_text(other_metrics_findings(one)).splitlines() if line.startswith("dualcoop")][1]
        for one in (newer, older)
    ]
    assert rows == [["dualcoop", "40.0", "40.0", "25.0"], ["dualcoop", "–", "40.0", "40.0"]]


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
